// One model being trained: step, evaluate, save, restore. Knows no family, mixer or objective by name.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/safetensors.h"
#include "data/dataset.h"
#include "data/stream.h"
#include "objectives/objective.h"
#include "training/optimizer.h"
#include "training/schedule.h"

namespace gamut {

struct TrainerOptions {
  uint64_t seed = 1;
  int64_t length = 128;       // T, tokens of a row
  int64_t batch_rows = 32;    // rows of an optimizer step
  int64_t micro_rows = 0;     // rows at a time; 0: all. Gradients accumulate over the step's micro-batches.
  int64_t steps = 100;        // of the whole run; the schedule ends there
  int64_t distinct_rows = 0;  // of the text: so many, spread evenly over it, are read again and again; 0: all
  std::filesystem::path record_routing, replay_routing;  // folders: the choices of routers in each step, written or enforced
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  int64_t batch_tokens() const { return batch_rows * length; }
  int64_t micro() const { return micro_rows > 0 ? std::min(micro_rows, batch_rows) : batch_rows; }
};

struct StepResult {
  int64_t step = 0;              // counted from 1
  double loss = 0;               // mean nats a token, before the update
  double auxiliary = 0;          // balancing and z losses, with coefficients
  double gradient_norm = 0, rate = 0, seconds = 0;
  std::vector<RoutingRecord> routing;  // one a layer, summed over micro-batches
};

// What a step costs: from the same code run on shapes alone.
struct StepPlan {
  Cost cost;               // of one optimizer step
  std::map<std::string, Cost, std::less<>> ledger;  // the same by operation
  size_t arena_bytes = 0;  // peak of parameters, gradients, moments, packed weights and activations
  int64_t parameters = 0;
  double active_parameters = 0, active_matrix = 0;
};
StepPlan plan_step(const ModelSpec& spec, const TrainerOptions& options, ThreadPool& pool);

struct DomainScore {
  double nats = 0;
  int64_t bytes = 0;    // of text
  double weight = 0;    // the objective's: predicted tokens
  std::vector<std::vector<int64_t>> load_LE;  // slots by MoE layer and expert
  std::vector<int> layers;                    // which layers those are
  double bits_per_byte() const;
};
// Σ nats / (Σ bytes · ln 2) over all domains.
double bits_per_byte(const std::vector<DomainScore>& scores);

// The honest number of an objective: bits per byte where losses add up to a text's likelihood or bound it, else bits of a prediction, which
// compare with their own kind alone.
struct Measure {
  std::string key, unit;  // "bits_per_byte", "bits/byte"
  bool per_byte;
  double operator()(const std::vector<DomainScore>& scores) const;
};
Measure measure_of(const Objective& objective);

class Trainer {
 public:
  // Weights drawn from options.seed; the data order as well, in streams of their own.
  Trainer(const ModelSpec& spec, const TrainerOptions& options, std::shared_ptr<const Dataset> data, ThreadPool& pool);

  // One optimizer step. A loss or gradient that is not finite is an Error naming step, tensor and batch; nothing is updated.
  StepResult step();
  // An Error naming the tensor when a weight is not finite: such a state must not become a checkpoint.
  void check_finite() const;
  std::vector<DomainScore> evaluate(const std::vector<ValidationSet>& sets);
  Measure measure() const { return measure_of(*objective_); }

  int64_t steps_done() const { return optimizer_->steps(); }
  int64_t tokens_seen() const { return steps_done() * options_.batch_tokens(); }
  bool finished() const { return steps_done() >= options_.steps; }
  const TrainerOptions& options() const { return options_; }
  Model& model() { return *model_; }
  const Dataset& data() const { return *data_; }
  const Objective& objective() const { return *objective_; }
  const Device& device() const { return device_; }
  ThreadPool& pool() { return device_.pool; }
  // From now on steps note there where their time goes; null: no longer.
  void set_profile(Profile* profile) { device_.profile = profile; }
  size_t arena_peak() const { return device_.arena->peak(); }
  size_t resident_bytes() const { return device_.arena->resident(); }
  // Changes the length and shape of what is left of the schedule (a cool-down branch); weights, moments and data go on.
  void reschedule(int64_t steps, const ScheduleOptions& schedule);

  // Everything a later process needs to go on with the same bits: views of weights, buffers and moments, and a state.
  std::vector<TensorView> tensors() const;
  Json state() const;
  // Restores from what tensors() and state() gave. Missing, surplus or misshapen tensors: one Error listing all.
  void restore(std::span<const TensorView> tensors, const Json& state);

 private:
  ModelSpec spec_;
  TrainerOptions options_;
  std::shared_ptr<const Dataset> data_;
  Device device_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  TokenStream stream_;
};

}  // namespace gamut
