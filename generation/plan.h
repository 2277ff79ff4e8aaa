// What a model costs to run, from the same code run on shapes alone.
#pragma once

#include "modules/model.h"

namespace gamut {

struct ServingPlan {
  int64_t parameters = 0;
  double active_parameters = 0;
  Cost prefill, decode;                // a token of the prompt (mean; of the source, read once, with an encoder), and the token after it
  double state_bytes_per_token = 0;    // by which the mixers' states grow with each position of a row…
  double state_bytes_fixed = 0;        // …and what they take however long the text
  double state_bytes = 0;              // of a row at `context` tokens
  size_t parameter_bytes = 0;          // f32 (f64) master weights
  size_t arena_bytes = 0;              // peak of weights, packed weights, states and activations
};

// `rows` texts of `context` tokens, prompts in chunks as generate() takes them, then one token each. With an encoder the sources are as long as
// the texts; what is kept of them counts as fixed.
ServingPlan plan_serving(const ModelSpec& spec, int64_t rows, int64_t context, ThreadPool& pool);

}  // namespace gamut
