// Exact numbers of a model on given tokens: logits, loss, gradients. For comparing with any other implementation.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "families/family.h"

namespace gamut {

// Rows are padded on the right to the longest.
struct ScoreInput {
  int64_t rows = 0, length = 0;
  std::vector<int32_t> ids;      // [B, T]
  std::vector<uint8_t> mask;     // [B, T]: 0 is padding
  std::vector<int32_t> labels;   // [B, T]: the token at this place, negative: no loss; padding and, without labels in the file, nothing else is left out
};
// {"input_ids": [[…], …], "attention_mask"?, "labels"?}. Padding may only stand on the right. Any other key is an Error.
ScoreInput read_score_input(const Json& document, const std::string& source);

struct ScoreOptions {
  std::string loss;             // an objective's name; empty: none
  bool gradients = false, hidden_states = false, router_logits = false;
};

struct Scores {
  Tensor logits_BTV;
  std::vector<Tensor> hidden_states;  // [B, T, D]: the embedding, then after each layer; the last after the final norm
  std::vector<Tensor> router_logits;  // [B·T, E] of each routing layer
  std::optional<double> loss;         // mean over labels, auxiliary losses of the configuration included
};
// Gradients are left in the model's parameters.
Scores score(Model& model, const Device& device, const ScoreInput& input, const ScoreOptions& options);

// `logits`, `loss`, `hidden_states.N`, `router_logits.N`, all f32 (f64 in the reference mode).
void write_scores(const Scores& scores, const std::filesystem::path& path);
// The gradient of every stored tensor under its checkpoint name.
void write_gradients(const LoadedModel& loaded, const std::filesystem::path& path);

}  // namespace gamut
