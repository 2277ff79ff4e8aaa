// The selective scan of Mamba.
#pragma once

#include "core/tape.h"
#include "kernels/scan.h"

namespace gamut::ops {

struct Scan {
  Tensor x;             // [B, T, E]
  Tensor delta;         // [B, T, E] f32 (f64): step sizes ≥ 0
  Tensor b, c;          // [B, T, N] f32 (f64)
  Tensor log_rate_EN;   // f32 (f64); A = −e^(log_rate)
  Tensor skip_E;        // f32 (f64)
};

// h ← e^(ΔA)·h + Δ·B·x;  y = C·h + D·x (kernels/scan.h). Result like x. `state` [B, N, E] f32 (f64), when given, is what h begins
// with and afterwards what it ended with; it takes no gradient. For gradients, h is kept before every chunk of 32 tokens.
Tensor scan(Tape& tape, const Scan& in, const Tensor& state = Tensor());

}  // namespace gamut::ops
