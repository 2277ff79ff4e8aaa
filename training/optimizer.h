// AdamW over a model's parameters, with global-norm clipping folded into the one pass over memory.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/config.h"
#include "core/tape.h"
#include "modules/parameters.h"

namespace gamut {

struct OptimizerOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;  // of matrices, embedding, head and router; norms and biases are not decayed
  double clip = 1.0;          // largest global gradient norm; 0: no clipping
  struct Group {
    double lr_scale = 1;
    double weight_decay = -1;  // −1: the default for the role
    bool frozen = false;
  };
  std::map<std::string, Group> groups;  // by role: matrix, embedding, head, router, norm, bias; and expert, before the role's, of all weights of routed experts
  std::string train = "all";            // all | experts | mixtures (experts and routers) | non_experts
  static OptimizerOptions take(Config& cfg);
  double decay_of(const Parameter& p) const;
  double lr_scale_of(const Parameter& p) const;
  bool trains(const Parameter& p) const;

 private:
  const Group* group_of(const Parameter& p) const;
};

class Optimizer {
 public:
  Optimizer(OptimizerOptions options, Parameters& parameters, const Device& device);

  // ‖gradient‖ over all trained parameters, in a fixed order of summation.
  double gradient_norm(ThreadPool& pool) const;
  // Where a number that is not finite began, as far as weights and gradients tell: "the weights of NAME" (the first such tensor), else
  // "the gradient of NAME" (the first that the backward pass reached); "" when all are finite.
  std::string not_finite() const;
  // One update with rate lr·factor; zeroes the gradients; `norm` as measured.
  void step(ThreadPool& pool, double factor, double norm);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  const OptimizerOptions& options() const { return options_; }

  // First and second moments, in the order of the trained parameters; for checkpoints.
  struct Moments {
    Parameter* parameter;
    Tensor first, second;
  };
  const std::vector<Moments>& moments() const { return moments_; }

 private:
  OptimizerOptions options_;
  Parameters& parameters_;
  std::vector<Moments> moments_;
  int64_t steps_ = 0;
};

}  // namespace gamut
