// Weighted means of all rows of a sequence, and what is made of them back to the rows (soft mixtures of experts).
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// Columns of each `length` neighbouring rows sum to 1: softmax over a sequence's tokens. logits [B·T, S] f32 (f64).
Tensor softmax_over_rows(Tape& tape, const Tensor& logits_NS, int64_t length);

// Sums between the T tokens and the S slots of each sequence, by weights w [B·T, S] f32 (f64); `from` of any float type.
// slots: from the tokens [.., D], B·T rows, to [B·S, D]: row b·S + s = Σ_t w[b·T + t, s]·from[b·T + t].
// tokens: from the slots [B·S, D] to [B·T, D]: row b·T + t = Σ_s w[b·T + t, s]·from[b·S + s].
enum class MixTo : uint8_t { slots, tokens };
Tensor mix(Tape& tape, const Tensor& w_NS, const Tensor& from, int64_t batch, MixTo to);

}  // namespace gamut::ops
