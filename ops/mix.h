// Weighted means of all rows of a sequence, and what is made of them back to the rows (soft mixtures of experts).
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// Columns of each `length` neighbouring rows sum to 1: softmax over a sequence's tokens. logits [B·T, S] f32 (f64).
Tensor softmax_over_rows(Tape& tape, const Tensor& logits_NS, int64_t length);

// [B·S, D]: row b·S + s = Σ_t w[b·T + t, s]·x[b·T + t]. w f32 (f64), x of any float type.
Tensor mix_tokens(Tape& tape, const Tensor& w_NS, const Tensor& x, int64_t batch);

// `like`'s shape, N rows: row b·T + t = Σ_s w[b·T + t, s]·y[b·S + s].
Tensor mix_slots(Tape& tape, const Tensor& w_NS, const Tensor& y_SD, int64_t batch, const Shape& like);

}  // namespace gamut::ops
