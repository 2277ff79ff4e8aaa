// What a model is given and what it should say: the one form in which objectives, `score` and evaluation hand text to a model.
#pragma once

#include <cstdint>
#include <vector>

#include "modules/model.h"
#include "ops/cross_entropy.h"

namespace gamut {

// B rows. Rows of different lengths are padded at the end. Lists that do not apply are empty.
struct Example {
  int64_t rows = 0, length = 0;         // B, T of the ids
  std::vector<int32_t> ids;             // [B, T] what the model reads; the source, for an encoder-decoder
  std::vector<uint8_t> mask;            // [B, T] 0: padding; empty: none
  std::vector<int32_t> token_types;     // [B, T]
  std::vector<int32_t> prefix;          // [B] so many first positions are seen by all; what follows them looks back only
  int64_t target_length = 0;            // T' of the decoder's side; 0 without one
  std::vector<int32_t> decoder_ids;     // [B, T']
  std::vector<uint8_t> decoder_mask;    // [B, T']
  std::vector<int32_t> labels;          // [B, T'] (without a decoder [B, T]) what the position says; negative: nothing
  std::vector<float> weights;           // like labels; empty: 1
  std::vector<int32_t> row_labels;      // [B] the class of the row
  std::vector<float> times;             // [B] of diffusion

  int64_t label_length() const { return target_length > 0 ? target_length : length; }
  Example slice(int64_t first, int64_t count) const;  // some of the rows
};

// Labels that name the token at their own place go to the position before, which predicts it; the last position gets none.
void shift_labels(Example& e);

// One run of a model over an example. The passes live as long as their results are wanted.
class ExampleRun {
 public:
  // `settings`: what the caller wants noted (routing, hidden states, loss_scale); its ids are not read. sight: of the model's
  // positions towards each other; an encoder sees all of its source.
  ExampleRun(Model& model, const Pass& settings, const kernels::Sight& sight, const Example& example);

  Pass& pass() { return pass_; }
  const Tensor& hidden() const { return hidden_; }   // [B, T', D], [B, T, D]
  const Tensor& encoded() const { return encoded_; }  // [B, T, D] of an encoder-decoder, else null
  const std::vector<Tensor>& encoder_hidden_states() const { return encoder_states_; }  // when the settings want them
  // From now on every position is judged by what the one before it says (the first by itself).
  void look_back();
  // Softmax cross-entropy of a head's classes; one label for each of its rows.
  ops::HeadLoss loss(const Head& head, const std::vector<int32_t>& labels, double scale, const std::vector<float>& weights = {});
  // The same where few positions bear labels, usually `most`: the head, which looks at single positions, runs on these alone, and they alone have
  // a token_N. Fewer are filled up to `most`, so that memory depends on shapes alone.
  ops::HeadLoss sparse_loss(const Head& head, const std::vector<int32_t>& labels, int64_t most, double scale, const std::vector<float>& weights = {});

 private:
  Model& model_;
  Pass pass_;
  Tensor encoded_, hidden_;
  std::vector<Tensor> encoder_states_;

  ops::HeadLoss loss_of(const Head& head, const Tensor& hidden, const std::vector<int32_t>& labels, double scale, const std::vector<float>& weights);
};

}  // namespace gamut
