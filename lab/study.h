// What experiments share: their settings, a folder that is continued, the search for a learning rate, and races as the report's JSON.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "lab/race.h"
#include "lab/statistics.h"

namespace gamut {

struct StudySettings {
  std::filesystem::path out;
  uint64_t seed = 1;     // of the first pair; the others follow
  int seeds = 2;
  double minutes = 2;
  DataOptions data;
  Json chosen;           // what decides numbers: a continued study must have been asked for the same
};
// out, seed, seeds (≥ 2), minutes and data.* of `gamut lab EXPERIMENT tier=TIER`, with the tier's own values as defaults.
StudySettings take_study(Config& cfg, const std::string& experiment, const std::string& tier, int seeds, double minutes, int64_t vocab);

// The plan kept in the study's folder, or else what `make` gives, which is kept. Error when the folder holds another study.
Json continue_or_plan(const StudySettings& settings, const std::string& data_hash, const std::function<Json()>& make);

// Three rates a factor of two apart, on a seed that is not reported; more while the best lies at an edge.
constexpr uint64_t kTuningSeed = 1000003;
struct RateSearch {
  double best = 0;
  Json row;  // of the report's `rates.arms`
};
// `entry(id suffix, rate)` makes a runner, `run(race, entries)` runs them. Races are named by the arm, so that a resumed study finds them.
RateSearch search_rate(const std::string& arm, double first, const std::function<Entry(const std::string&, double)>& entry,
                       const std::function<std::vector<Outcome>(const std::string&, const std::vector<Entry>&)>& run);

// Seconds of a step of every run, by its id. The baseline's is one number, the median over all blocks of all seeds; the others follow
// from how they did beside it, block for block. A machine that was faster in one hour than in the next then disturbs no comparison.
std::map<std::string, double> step_seconds(const std::vector<Outcome>& runs, const std::string& baseline);

struct ArmName {
  std::string id;
  Json name, short_name;
  std::string role;
  int slot;
};
// One entry of the report's `arms`. peak: FLOP/s of the machine.
Json arm_json(const ArmName& arm, const std::vector<Outcome>& runs, const std::map<std::string, double>& step_seconds, const std::vector<std::string>& domains, double peak);

Json difference_json(const Interval& interval);                         // {estimate, low, high, resolved, n}
Json text(const std::string& en, const std::string& zh);                // a Text of the report

using OutcomeLists = std::initializer_list<const std::vector<Outcome>*>;
Json failed_json(const OutcomeLists& lists);

// The report's `provenance` and `load`; `seeds` and `machine` are there already.
struct Provenance {
  std::string rerun, started;
  Json config;
  const Dataset& data;
  int64_t batch_tokens;
  CpuUse use;
};
void add_provenance(Json& study, const Provenance& provenance, const OutcomeLists& lists);

}  // namespace gamut
