// Multi-query associative recall: a text of key-value pairs, then keys again, each to be answered with its value. What a sequence mixer
// can answer is bounded by what its state holds. [Arora et al., Zoology, 2023]
#pragma once

#include <functional>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "modules/spec.h"

namespace gamut {

struct RecallTask {
  int64_t vocab = 256;   // keys are the lower half, values the upper; other positions hold random tokens
  int64_t length = 64;   // T
  int64_t pairs = 4;     // of a text; length ≥ 4·pairs
};

// Rows of the task: token ids and, at the position of each repeated key, its value (−100 elsewhere).
struct RecallRows {
  std::vector<int32_t> ids, targets;
};
// Examples [first, first + rows) of a stream; the same for the same arguments. Queries follow the pairs at distances that a power law
// favours to be short.
RecallRows recall_rows(const RecallTask& task, uint64_t seed, const char* stream, int64_t first, int64_t rows);

struct RecallOptions {
  int64_t batch_rows = 32, steps = 500, evaluate_every = 50, test_rows = 128;
  double rate = 4e-3;    // warms up over a twentieth, then falls to a tenth as a cosine
  double enough = 0.99;  // share of right answers at which training ends
  uint64_t seed = 1;
};
struct RecallResult {
  double accuracy = 0;              // of the last evaluation, on examples not trained on
  std::vector<double> step, curve;  // accuracy along the way
  double state_bytes = 0;           // of the mixers' states after one text
  double parameters = 0, seconds = 0;
  Json to_json() const;
  static RecallResult from_json(const Json& json);
};

// Trains `model` (its vocabulary and positions are set to the task's) on fresh examples. Interrupted: the Error that ends a study.
RecallResult run_recall(ModelSpec model, const RecallTask& task, const RecallOptions& options, ThreadPool& pool, const std::function<void(double)>& progress);

}  // namespace gamut
