// What two models make of the same tokens: for conversions that should, or should not, keep what a model computes.
#pragma once

#include "objectives/example.h"

namespace gamut {

// Random tokens, the same for the same seed; with a target for encoder-decoders.
Example random_example(const Model& model, int64_t rows, int64_t length, uint64_t seed = 1);

struct Agreement {
  double difference = 0;  // largest |a − b| of all results of the models' heads
  double largest = 0;     // largest |a|
};
// Error when the models have other heads.
Agreement compare_results(Model& a, Model& b, const Device& device, const Example& example);

// Of the model's own objective on `example`, a few rows at a time.
struct Measurement {
  double loss = 0;                     // mean nats of its labels, auxiliary losses left out
  std::vector<RoutingRecord> routing;  // of each mixture of experts, summed over the rows
  std::vector<RouterChoices> choices;  // of each router, of all tokens
};
Measurement measure(Model& model, const Device& device, const Example& example);

}  // namespace gamut
