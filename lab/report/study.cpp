#include "lab/report/study.h"

#include <algorithm>
#include <cmath>

#include "lab/report/svg.h"

namespace gamut {

const Json& member(const Json& object, const std::string& key) {
  static const Json kNull;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : kNull;
}

const Json* arm_with_role(const Json& study, const std::string& role) {
  for (const Json& arm : study.at("arms")) {
    if (member(arm, "role") == role) return &arm;
  }
  return nullptr;
}

const Json* arm_with_id(const Json& study, const std::string& id) {
  for (const Json& arm : study.at("arms")) {
    if (arm.at("id") == id) return &arm;
  }
  return nullptr;
}

Text full_name(const Json& arm) {
  const Text name = text_of(member(arm, "name"));
  return name.empty() ? Text(arm.at("id").get<std::string>()) : name;
}

Text short_name(const Json& arm) {
  const Text name = text_of(member(arm, "short"));
  return name.empty() ? full_name(arm) : name;
}

int slot_of(const Json& study, const Json& arm) {
  if (const auto slot = number(arm, "slot")) return std::clamp(static_cast<int>(*slot), 0, kSlots - 1);
  const Json& arms = study.at("arms");
  for (size_t i = 0; i < arms.size(); ++i) {
    if (arms[i].at("id") == arm.at("id")) return static_cast<int>(i % kHues);
  }
  return 6;
}

Text domain_name(const Json& study, const std::string& id) {
  if (id == "all") return say(Say::all_by_bytes);
  for (const Json& domain : member(study, "domains")) {
    if (domain.at("id") != id) continue;
    const Text name = text_of(member(domain, "name"));
    if (!name.empty()) return name;
  }
  return id;
}

std::optional<double> number(const Json& object, const std::string& key) {
  const Json& value = member(object, key);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

std::string string_or(const Json& object, const std::string& key, const std::string& fallback) {
  const Json& value = member(object, key);
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() ? fallback : value.dump();
}

Curve study_curve(const Json& run, const std::string& axis, const std::string& domain) {
  const Json& x = member(run, axis);
  const Json& y = member(member(run, "bpb"), domain);
  Curve curve;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!x[i].is_number() || !y[i].is_number() || !(x[i].get<double>() > 0)) continue;
    curve.x.push_back(x[i]);
    curve.y.push_back(y[i]);
  }
  return curve;
}

Curve mean_curve(const Json& arm, const std::string& axis, const std::string& domain) {
  Curve sum;
  size_t runs = 0;
  for (const Json& run : member(arm, "curves")) {
    const Curve curve = study_curve(run, axis, domain);
    if (curve.x.empty()) continue;
    if (runs == 0) {
      sum = curve;
    } else {
      sum.x.resize(std::min(sum.x.size(), curve.x.size()));
      sum.y.resize(sum.x.size());
      for (size_t i = 0; i < sum.x.size(); ++i) {
        sum.x[i] += curve.x[i];
        sum.y[i] += curve.y[i];
      }
    }
    ++runs;
  }
  for (size_t i = 0; i < sum.x.size(); ++i) {
    sum.x[i] /= static_cast<double>(runs);
    sum.y[i] /= static_cast<double>(runs);
  }
  return sum;
}

Band seed_band(const Json& arm, const std::string& axis, const std::string& domain) {
  Band band;
  for (const Json& run : member(arm, "curves")) {
    const Curve curve = study_curve(run, axis, domain);
    if (curve.x.empty()) continue;
    if (band.low.empty()) band = {curve.y, curve.y};
    band.low.resize(std::min(band.low.size(), curve.y.size()));
    band.high.resize(band.low.size());
    for (size_t i = 0; i < band.low.size(); ++i) {
      band.low[i] = std::min(band.low[i], curve.y[i]);
      band.high[i] = std::max(band.high[i], curve.y[i]);
    }
  }
  return band;
}

}  // namespace gamut
