// Generation, as the model's objective says: here from left to right, the prompt in chunks, then one token at a time over the mixers' states.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "generation/sampling.h"
#include "modules/model.h"

namespace gamut {

struct GenerateOptions {
  int64_t max_new_tokens = 128;
  std::vector<int32_t> eos;  // generation of a row ends with one of these, which is kept; empty: only the limits end it
  Sampling sampling;
  int64_t chunk = 512;       // prompt tokens a row at a time
  // Called with (row, token) as tokens appear; false ends that row.
  std::function<bool(size_t, int32_t)> on_token;
  // Of models that write by unmasking (generation/unmasking.h).
  int64_t steps = 0, block = 0;
  std::function<void(const std::vector<int32_t>&)> on_canvas;
};

// A batch of rows on its way, equally long but for their sources.
class Decoder {
 public:
  Decoder(Model& model, const Device& device, int64_t rows, int64_t capacity);
  // An encoder-decoder's sources, before anything is taken: [rows, S], row b's first lengths[b] tokens (empty: all). What the encoder makes of
  // them is kept.
  void read(std::span<const int32_t> ids, const std::vector<int32_t>& lengths = {});
  // Takes `ids` [rows, n] after those taken before, in chunks; returns the logits after the last, [rows, V] f32. The first ones taken by a
  // model whose prompts see all of themselves are one chunk.
  std::vector<float> take(std::span<const int32_t> ids, int64_t chunk);
  int64_t length() const { return length_; }  // positions taken
  size_t state_bytes() const;
  const Cost& cost() const { return cost_; }  // of everything read and taken so far

 private:
  Model& model_;
  Device device_;
  int64_t rows_, length_ = 0;
  bool prompt_is_prefix_ = false;
  Cost cost_;
  std::vector<std::unique_ptr<MixerState>> states_;
  Tensor encoded_BSD_;
  ops::Visibility source_;

  void note_cost(const Tape& tape);
};

// Each row: its prompt and what follows, up to the model's last position. Prompts may differ in length; rows of equal length run together,
// with the same tokens as alone. An encoder-decoder reads `sources`, one for each row and of any lengths, and its prompts are what the
// target begins with; none, or empty ones, are the objective's start token, which a model of one stack takes after each prompt.
// Error when a prompt or source is empty or holds an id outside the vocabulary.
std::vector<std::vector<int32_t>> generate(Model& model, const Device& device, const std::vector<std::vector<int32_t>>& prompts,
                                           const GenerateOptions& options, const std::vector<std::vector<int32_t>>& sources = {});

}  // namespace gamut
