// What generating a token costs at different lengths of what came before.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "modules/spec.h"

namespace gamut {

// One entry a context.
struct DecodeCost {
  std::vector<double> context;       // tokens taken before
  std::vector<double> milliseconds;  // of a new token, median
  std::vector<double> bytes;         // read and written for it, counted
  std::vector<double> state;         // bytes kept of the context
  Json to_json() const { return {{"context", context}, {"milliseconds", milliseconds}, {"bytes", bytes}, {"state", state}}; }
  static DecodeCost from_json(const Json& j) { return {j.at("context"), j.at("milliseconds"), j.at("bytes"), j.at("state")}; }
};

// One text on random weights; the model's positions are set to what is needed. Interrupted: the Error that ends a study.
DecodeCost measure_decode(ModelSpec model, const std::vector<int64_t>& contexts, ThreadPool& pool, uint64_t seed);

}  // namespace gamut
