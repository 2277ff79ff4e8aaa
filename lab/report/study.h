// Reading a study document (schema in report.h).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/report/strings.h"
#include "lab/statistics.h"

namespace gamut {

inline constexpr std::array<const char*, 4> kCostAxes{"tokens", "flops", "seconds", "gb_seconds"};

// The first arm of that role, or the arm of that id; null if there is none.
const Json* arm_with_role(const Json& study, const std::string& role);
const Json* arm_with_id(const Json& study, const std::string& id);
// What an arm is called in a sentence ("MoE") and in a label ("8 experts, top-2").
Text short_name(const Json& arm);
Text full_name(const Json& arm);
int slot_of(const Json& study, const Json& arm);  // 0…6
Text domain_name(const Json& study, const std::string& id);

// The value under `key` if it is there and a number.
std::optional<double> number(const Json& object, const std::string& key);
std::string string_or(const Json& object, const std::string& key, const std::string& fallback);
// The value under `key`, or null.
const Json& member(const Json& object, const std::string& key);

// One run's validation curve over a cost axis. Points that are not positive finite costs with a finite loss are dropped.
Curve study_curve(const Json& run, const std::string& axis, const std::string& domain = "all");
// Mean over the runs of an arm, evaluation by evaluation (runs evaluate at the same tokens; the shortest run sets the length).
Curve mean_curve(const Json& arm, const std::string& axis, const std::string& domain = "all");
// Smallest and largest loss over the runs at each evaluation of mean_curve.
struct Band {
  std::vector<double> low, high;
};
Band seed_band(const Json& arm, const std::string& axis, const std::string& domain = "all");

}  // namespace gamut
