// Arms of equal compute raced on the same text: the protocol that experiments with more than two arms share. A plan that fits the machine,
// a grid of learning rates for each arm, pairs by seed on a trunk of constant rate, a cool-down, and who stands where.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lab/study.h"

namespace gamut {

// A size of the models; the plan takes the largest whose runs fit.
struct Rung {
  int64_t width = 0, layers = 0;
};
struct ContestTier : StudyTier {
  std::vector<Rung> ladder;  // smallest first
};

struct Arm {
  ArmName name;  // the first arm of a contest is the baseline
  // The arm at a rung for texts of `length` tokens. size: what is left to choose, hidden units of a layer, so that compute agrees.
  std::function<ModelSpec(const Rung&, int64_t vocab, int64_t length, int64_t size)> model;
  double longer = 1;  // compute of its runs, in the baseline's
};
// Softmax attention and the same channel mixer in every layer.
ModelSpec attention_decoder(const Rung& rung, int64_t vocab, int64_t length, const Component& channel);
// Units of a gated feed-forward layer: 8/3 of the width, a multiple of 16.
int64_t usual_hidden(const Rung& rung);

struct ContestRules {
  // What agrees: FLOPs a token, by the arms' sizes; or FLOPs of a run, by its steps, all arms of the baseline's size.
  enum class Equal { flops_a_token, flops_a_run } equal = Equal::flops_a_token;
  std::function<int64_t(const Rung&)> size;  // of the baseline
  int64_t size_step = 1;                     // sizes are multiples of it
  double share = 0.6;                        // of the budget for the arms' runs, what a slower machine takes left over
  double extra_runs = 0;                     // runs of the experiment's own: what they cost, in runs of the baseline
  std::function<Json(Trainer&, const std::string& arm)> probe, watch;  // ? of every finished model; at every evaluation of one
  std::function<void(const std::string& arm, uint64_t seed, Parameters&)> start;  // ? the weights an arm begins with
};

struct ContestPlan {
  Rung rung;
  std::vector<int64_t> size, steps, cool, tune_steps;  // of each arm
  std::vector<double> step_seconds;                    // of each arm
  double rate = 0;                                     // where the grid starts, or the rate of all arms without one
  double tokens_per_weight = 0;                        // of the baseline's trunk, for each active matrix weight
  double epochs = 0, expected_seconds = 0, peak_flops = 0;
  std::string started;
};

class Contest : public Study {
 public:
  Contest(std::string id, const LabContext& context, TieredSettings<ContestTier> settings, std::vector<Arm> arms, ContestRules rules);

 protected:
  Json make_plan(double seconds) override;
  void take_plan(const Json& plan) override;
  // The grids of learning rates and the main runs, worth `share` of the study.
  void race_arms(double share);

  const ContestTier& tier() const { return tier_; }
  const ContestPlan& plan() const { return plan_; }
  const std::vector<Arm>& arms() const { return arms_; }
  ModelSpec model_of(size_t arm) const;
  TrainerOptions trainer_of(size_t arm, uint64_t seed, double rate, int64_t steps) const;
  RaceOptions race_options(const std::string& name) const { return {.folder = settings().out, .name = name, .curve_bytes = tier_.curve_bytes, .final_bytes = tier_.final_bytes}; }
  double rate_of(size_t arm) const { return rates_.at(arms_[arm].name.id); }
  double flops_a_token(const ModelSpec& spec) const;  // training: products of matrices, attention's and the recurrences' included
  const std::vector<Outcome>& runs() const { return runs_; }
  // The first finished run of an arm; null without one.
  const Outcome* run_of(const std::string& arm) const;
  std::vector<double> finals(const std::string& arm, const std::string& paired_with) const;  // cooled-down numbers of seeds that both finished, in order
  double mean_probe(const std::string& arm, const std::function<double(const Json&)>& of) const;  // over finished seeds; NaN without one

  // heading() with arms, failed runs, standings, rates, what was held equal, limits of every contest.
  // comparable: whether an arm's number may stand beside the baseline's; others get no curve and no rank.
  Json contest_report(const Json& title, const std::function<bool(const Outcome&)>& comparable = {}, double other_seconds = 0) const;
  void finish_report(Json& study, const OutcomeLists& lists) const;  // provenance

 private:
  ContestTier tier_;
  std::vector<Arm> arms_;
  ContestRules rules_;
  ContestPlan plan_;
  std::vector<Outcome> runs_;
  std::map<std::string, double> rates_;
  Json rates_json_ = nullptr;

  std::function<void(Parameters&)> start_of(const Entry& entry) const;
  void settle(Entry& entry) const;  // the rules' start, watch and probe
  Json standings(const std::function<bool(const Outcome&)>& comparable) const;
};

}  // namespace gamut
