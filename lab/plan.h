// The size of a dense-vs-moe study: how much each tier may spend, and the largest model whose runs fit this machine, that time and
// the text at hand.
//
// The regime decides the answer: below some 15 to 20 tokens for each active matrix parameter no capacity is missing and a mixture
// loses. So a plan shrinks the model before it shrinks the tokens, and every run sees at least 25 of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lab/study.h"
#include "lab/twins.h"
#include "training/trainer.h"

namespace gamut {

struct Tier : StudyTier {
  std::vector<TwinShape> ladder;  // smallest first; vocab and length are set by the plan
  double tune_share;              // tokens of a grid run, as a share of a trunk
  bool total_arm;                 // a dense arm of equal total size, one seed
};
const std::vector<Tier>& tiers();

// The shape and length of all runs; fitted once, then kept with the study.
struct Plan {
  TwinShape shape;
  int64_t steps = 0, cool = 0, tune_steps = 0;  // of a trunk, the cool-down after it, a grid run
  double rate = 0;                              // where the grid starts, or the rate of all arms without one
  double tokens_per_weight = 0;                 // of a trunk, for each active matrix weight
  double epochs = 0;                            // of a run, cool-down included
  double dense_seconds = 0, moe_seconds = 0;    // of a step, as calibrated
  double expected_seconds = 0;                  // of the whole study
  double peak_flops = 0;                        // measured peak of matrix products
  std::string started;
  Json to_json() const;
  static Plan from_json(const Json& json, const std::string& source);
};

constexpr int64_t kNullSteps = 220;  // of the null twin

TrainerOptions trainer_options(const Tier& tier, const Plan& plan, uint64_t seed, double rate, int64_t steps);

// Seconds: of a training step, of a thousand bytes of validation text of one domain.
struct ArmTiming {
  double step = 0, evaluation = 0;
};
ArmTiming time_arm(const ModelSpec& spec, const TrainerOptions& options, const std::shared_ptr<const Dataset>& data, ThreadPool& pool);

// Calibrates shape by shape, about five seconds in all, and says so. `seconds`: for the whole study.
Plan make_plan(const Tier& tier, const std::shared_ptr<const Dataset>& data, ThreadPool& pool, uint64_t seed, double seconds);

}  // namespace gamut
