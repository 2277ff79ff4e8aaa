// What the delta rule with a decay per channel makes of its keys.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

struct DeltaKeys {
  Tensor decay;    // g = −e^rate·step, like step
  Tensor removed;  // −e^g∘k, like k
  Tensor written;  // β·k, like k
};
// k [B, T, H, K]; step ≥ 0 [B, T, H, K], rate_H [H] and beta [B, T, H] f32 (f64). With S ← diag(e^g)·S + kᵀ·β(v − k·diag(e^g)·S), written is
// what writes v and what corrects, removed is what reads (ops/dplr.h). [Kimi Team, Kimi Linear, 2025]
DeltaKeys delta_keys(Tape& tape, const Tensor& k, const Tensor& step, const Tensor& rate_H, const Tensor& beta);

}  // namespace gamut::ops
