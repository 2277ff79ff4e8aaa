// What experiments share: a folder that is continued from plan to report, their settings, the search for a learning rate, and races as
// the report's JSON.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "base/progress.h"
#include "lab/lab.h"
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
// What the sizes of every experiment say; their own sizes inherit it.
struct StudyTier {
  const char* name;
  double minutes;
  int seeds;
  int64_t vocab, length, batch_tokens;
  bool tune;                         // a grid of learning rates for each arm
  int points;                        // of a curve
  int64_t curve_bytes, final_bytes;  // validation text a domain at those points, and after cooling down
};
// out, seed, seeds (≥ 2), minutes and data.* of `gamut lab EXPERIMENT tier=TIER`, with the tier's own values as defaults.
StudySettings take_study(Config& cfg, const std::string& experiment, const StudyTier& tier);

// Settings and the chosen tier, in which they have replaced seeds and vocabulary.
template <class Tier> struct TieredSettings : StudySettings {
  Tier tier;
  static TieredSettings take(Config& cfg, const std::string& experiment, const std::vector<Tier>& tiers) {
    std::vector<std::string> names;
    for (const Tier& t : tiers) names.emplace_back(t.name);
    const std::string name = cfg.take_choice("tier", "quick", names);
    const Tier& tier = *std::find_if(tiers.begin(), tiers.end(), [&](const Tier& t) { return t.name == name; });
    TieredSettings s{take_study(cfg, experiment, tier), tier};
    cfg.finish();
    s.tier.seeds = s.seeds;
    s.tier.vocab = s.data.vocab_size;
    return s;
  }
};

// An experiment in its folder. Interrupted, the same command goes on: with the plan that was kept, with races from their last checkpoint.
class Study {
 public:
  // id: of the experiment. context outlives the study.
  Study(std::string id, const LabContext& context, StudySettings settings) : id_(std::move(id)), context_(context), settings_(std::move(settings)) {}
  virtual ~Study() = default;
  Study(const Study&) = delete;
  Study& operator=(const Study&) = delete;

  // Plans or continues, works, writes study.json and report.html; returns the study as the report reads it.
  Json run();

 protected:
  // What is decided once and kept: sizes that fit this machine, this text and `seconds`.
  virtual Json make_plan(double seconds) = 0;
  virtual void take_plan(const Json& plan) = 0;
  virtual void work() = 0;
  virtual Json report() = 0;

  // One race, which is worth `share` of the study's progress; keeps count of its time and of other load.
  std::vector<Outcome> race(const RaceOptions& options, const std::vector<Entry>& entries, double share);
  // A part of the work outside races is done, or a share of it.
  void advance(double share, const std::string& note);
  void show(double share_begun, const std::string& note) { progress_.update(std::min(0.999, work_done_ + share_begun), note); }

  // id, title, tier, seeds, elapsed, machine, budget and domains of the report. other_seconds: of work outside races, earlier parts included.
  Json heading(const Json& title, const StudyTier& tier, double peak_flops, double tokens_a_run, double other_seconds = 0) const;
  const LabContext& context() const { return context_; }
  const StudySettings& settings() const { return settings_; }
  ThreadPool& pool() const { return context_.pool; }
  const std::shared_ptr<const Dataset>& data() const { return data_; }
  const CpuUse& use() const { return use_; }

 private:
  std::string id_;
  const LabContext& context_;
  StudySettings settings_;
  std::shared_ptr<const Dataset> data_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  CpuUse use_;                                      // of the machine during all races
  double race_seconds_ = 0, race_seconds_now_ = 0;  // all races, and those of this process
  double work_done_ = 0;                            // share of the whole study
  Progress progress_{id_, 1.0};

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }
};

// A runner's entry: evaluated at `points` steps, more early than late. points 0: at the trunk's end alone.
Entry race_entry(const std::string& arm, const std::string& suffix, const ModelSpec& model, const TrainerOptions& trainer, int64_t cool_steps, int64_t points);

// The plan kept in the study's folder, or else what `make` gives, which is kept. Error when the folder holds another study.
Json continue_or_plan(const StudySettings& settings, const std::string& data_hash, const std::function<Json()>& make);

// Three rates a factor of two apart, on a seed that is not reported; more while the best lies at an edge.
constexpr double kCoolShare = 0.15;   // steps of the cool-down, as a share of the trunk
constexpr double kTokensPerWeight = 26;  // below some 15 to 20 tokens for each active matrix weight no capacity is missing
// Text seen again teaches less, a mixture sooner than a dense model; to some four epochs little is lost [Muennighoff et al., Scaling
// data-constrained language models, 2023].
constexpr double kMostEpochs = 4;
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
// How a finding stands to what was published: by its margin in that direction, unresolved within ±`enough` or not a number.
const char* verdict_of(double margin, double enough);
// A row of the report's `literature`.
Json finding(const Json& claim, const std::string& source, const Json& expected, const Json& measured, const char* verdict);

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
