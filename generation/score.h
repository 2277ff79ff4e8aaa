// Exact numbers of a model on given tokens: logits, loss, gradients. For comparing with any other implementation.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "families/family.h"
#include "objectives/example.h"

namespace gamut {

// {"input_ids": [[…], …], "attention_mask"?, "token_type_ids"?, "decoder_input_ids"?, "decoder_attention_mask"?, "labels"?,
//  "next_sentence_label"?, "prefix_length"?, "t"? (times of diffusion), "mask_index"? (1 where labels are)}. Rows are padded at the end to the longest; padding may only stand there. Labels name the
// token at their own place (a decoder's: what it is to say there; a flat list: the class of each row), negative ones bear no loss; without any, every token is a label.
// Any other key is an Error.
Example read_example(const Json& document, const std::string& source);

struct ScoreOptions {
  std::string loss;             // an objective's name; empty: none
  bool gradients = false, hidden_states = false, router_logits = false;
  const std::vector<RouterChoices>* choices_given = nullptr;  // enforced on the routers
  std::vector<RouterChoices>* choices_made = nullptr;         // of the pass without dropout, noise and drops
};

// Results by the names that files give them: what the heads make ("logits" [B, T, V], "pooler_output" [B, D], …), "last_hidden_state"
// of a model without logits, and where asked for "hidden_states.N" [B, T, D] (the embedding, then after each layer; the last after the
// final norm), "router_logits.N" [B·T, E]. The loss is the mean over labels, auxiliary losses of the configuration included.
struct Scores {
  std::map<std::string, Tensor> tensors;
  std::optional<double> loss;
};
// Gradients are left in the model's parameters.
Scores score(Model& model, const Device& device, const Example& example, const ScoreOptions& options);

// How often what a head for further tokens drafts is what the model itself would say there, given the text up to it: the share that greedy
// decoding would accept. Counted where the model says what the text says and took the drafts before, as only then a draft is looked at.
struct Drafts {
  int64_t depth = 0, drafted = 0, accepted = 0;
};
std::vector<Drafts> count_drafts(const Model& model, const Scores& scores, const Example& example);

// The tensors and `loss`, all f32 (f64 in the reference mode).
void write_scores(const Scores& scores, const std::filesystem::path& path);
// The gradient of every stored tensor under its checkpoint name.
void write_gradients(const LoadedModel& loaded, const std::filesystem::path& path);

}  // namespace gamut
