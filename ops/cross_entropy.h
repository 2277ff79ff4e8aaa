// The output head and its loss: linear map to the vocabulary and softmax cross-entropy, in slices of rows.
#pragma once

#include "ops/linear.h"

namespace gamut::ops {

struct HeadLoss {
  Tensor loss;     // scalar f32 (f64): Σ over target ≥ 0 of −w·log p(target), times `scale`
  Tensor token_N;  // −w·log p of each row, 0 where ignored; f32 (f64)
};

// hidden [..., D], classifier w_VD with an optional bias f32 (f64), target int32 of hidden's rows (< 0: ignored), weight_N ? f32 (f64) of each row (null: 1). Logits of a slice of rows exist at a time, never
// [rows × V]. In training the gradients are made on the way (upstream 1): `scale` is 1/(loss-bearing tokens of the step);
// `z` adds z·scale·Σ lse² to the loss [PaLM, 2022]; with a `softcap` c logits are c·tanh(logit/c) [Gemma 2, 2024]. The loss is added to the tape.
HeadLoss cross_entropy(Tape& tape, const Tensor& hidden, const LinearWeight& classifier, const Tensor& target, double scale, double z = 0, const Tensor& weight_N = {}, double softcap = 0);

}  // namespace gamut::ops
