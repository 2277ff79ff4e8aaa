// Linear attention: a state per head that decays, is written to and read, in one operation.
#pragma once

#include "core/tape.h"
#include "kernels/linear_attention.h"

namespace gamut::ops {

// Value head h reads query/key head ⌊h/(H/G)⌋.
struct LinearAttention {
  Tensor q, k;      // [B, T, G, K]
  Tensor v;         // [B, T, H, V]
  Tensor decay;     // ? [B, T, H] f32 (f64): g ≤ 0; or [H], the same for every token and without a gradient; absent: 0
  Tensor beta;      // ? [B, T, H] f32 (f64); absent: 1
  Tensor skip_H;    // ? [H] f32 (f64)
  double scale = 1;
  bool delta = false;
};

// S ← e^g·S + kᵀ·d with d = β·v, or β·(v − k·e^g·S) with the delta rule; o = scale·q·S + skip·v (kernels/linear_attention.h). Result
// [B, T, H, V] like v. `state` [B, H, K, V] f32 (f64), when given, is what S begins with and afterwards what it ended with; it takes
// no gradient. Without it S begins with zeros. For gradients, S is kept at the beginning of every chunk.
Tensor linear_attention(Tape& tape, const LinearAttention& in, const Tensor& state = Tensor());

}  // namespace gamut::ops
