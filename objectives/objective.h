// Axis 3: what a model is trained to predict, who sees whom meanwhile, and what its number means.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "modules/model.h"

namespace gamut {

// Rows of a batch as the data gives them: B rows of T inputs, and the same text one position on.
struct TokenRows {
  int64_t rows = 0, length = 0;
  std::span<const int32_t> inputs, targets;  // [B, T]; empty on shapes alone
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual kernels::Sight sight() const = 0;
  // Positions that bear loss, counted before any backward pass: a step's loss is the sum over all its micro-batches
  // divided by the sum of these.
  virtual int64_t loss_tokens(const TokenRows& rows) const = 0;
  // Runs the model and leaves loss and gradients on the tape of `pass`. scale: 1 / loss-bearing tokens of the step.
  virtual ops::HeadLoss loss(Model& model, Pass& pass, const TokenRows& rows, double scale) const = 0;
  // True when Σ loss is the text's exact negative log-likelihood, so that bits per byte compare across models.
  virtual bool exact_likelihood() const = 0;
};

struct RegisteredObjective {
  std::string kind, meaning;
  std::function<std::unique_ptr<Objective>()> build;
};
const std::vector<RegisteredObjective>& objectives();                   // objectives/registry.cpp
std::unique_ptr<Objective> build_objective(const std::string& kind);    // Error with the nearest name

std::unique_ptr<Objective> build_causal();

}  // namespace gamut
