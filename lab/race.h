// Several models trained side by side in alternating blocks of steps, so that whatever disturbs the machine disturbs all
// alike; stopped at any moment, a race goes on from its last checkpoint and ends with the same numbers.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lab/machine.h"
#include "training/trainer.h"

namespace gamut {

// One runner: an arm with a seed and its own settings.
struct Entry {
  std::string id;   // unique in the study: "moe-seed2"
  std::string arm;
  ModelSpec model;
  TrainerOptions trainer;       // steps: the trunk, at the schedule given
  int64_t cool_steps = 0;       // then this many steps in which the rate falls to `cool_floor`, by 1 − √progress
  double cool_floor = 0.0;
  std::vector<int64_t> evaluate_at;  // steps of the trunk; the last trunk step is always evaluated
  std::function<void(Parameters&)> start;  // ? gives the weights that training begins with, which were drawn from the seed
  std::function<Json(Trainer&)> watch;  // ? what else is measured at those steps
  std::function<Json(Trainer&)> probe;  // ? what else is measured of the finished model
};

// What one runner did. Plain data, kept as JSON.
struct Outcome {
  std::string id, arm;
  uint64_t seed = 0;
  std::string number;                                      // what `bpb` is: Measure::key of the objective
  std::vector<double> step, tokens, flops, bpb;            // at the evaluation points
  std::vector<std::vector<double>> domain_bpb;             // [domain][point]
  std::vector<double> losses;                              // training loss of every step, mean nats a token
  std::vector<double> step_seconds;                        // of every step of the trunk
  std::vector<double> cooled_bpb;                          // after cooling down, whole validation sets: [domain], then all by bytes
  struct Load {
    int layer = 0;
    std::vector<double> step;
    std::vector<std::vector<double>> share;        // [sample][expert]
    std::vector<std::vector<int64_t>> by_domain;   // [domain][expert], slots over the validation text at the end
  };
  std::vector<Load> loads;
  double flops_per_token = 0;       // training, matrix products
  double parameters = 0, active_parameters = 0, active_matrix = 0;
  double ram_predicted = 0, ram_measured = 0;  // bytes of tensors
  std::vector<Json> watched;        // what Entry::watch found at the evaluation points
  Json probe;                       // what Entry::probe found
  std::string failed;               // why, when it did not finish
  Json to_json() const;
  static Outcome from_json(const Json& json);
};

struct RaceOptions {
  std::filesystem::path folder;    // of the study; the race keeps its files below it
  std::string name;                // unique in the study: "seed1"
  int64_t curve_bytes = 1 << 16;   // validation text a domain at the points of the curve
  int64_t final_bytes = 1 << 20;   // and after cooling down
  double checkpoint_seconds = 20;
  int64_t block_steps = 20;
};

struct RaceResult {
  std::vector<Outcome> outcomes;  // in the order of the entries
  double seconds = 0;             // on the clock, everything included; what a kill took back is not
  CpuUse use;                     // of the machine meanwhile
};

// Runs all entries, or reads what an earlier call finished. `progress(done, note)`: share 0 … 1 of this race.
// Interrupted: saves, then throws an Error with exit 130 or 143. A runner that diverges is reported as failed; the others go on.
RaceResult run_race(const RaceOptions& options, const std::vector<Entry>& entries, std::shared_ptr<const Dataset> data, ThreadPool& pool,
                    const std::function<void(double, const std::string&)>& progress);

// The Error that ends a study at Ctrl-C or SIGTERM (exit 130, 143), when one has come.
void stop_if_interrupted();

double median(std::vector<double> values);  // 0 for none

// Median step time of each alternating block of the trunk; the first one, which warms caches and weights, left out unless it is alone.
std::vector<double> block_seconds(const Outcome& outcome, int64_t block_steps = RaceOptions().block_steps);
// Step time of a runner over another's of the same race: median of the ratios of blocks that ran next to each other, so that a machine
// that changes its speed changes both. 0 when they share no block.
double step_time_ratio(const Outcome& outcome, const Outcome& other);

}  // namespace gamut
