// Linear attention with a diagonal decay and a correction of rank one.
#pragma once

#include "core/tape.h"
#include "kernels/dplr.h"

namespace gamut::ops {

struct Dplr {
  Tensor q, k;     // [B, T, H, K]
  Tensor v;        // [B, T, H, V]
  Tensor a, b;     // ? [B, T, H, K], both or none
  Tensor decay;    // [B, T, H, K] f32 (f64): g ≤ 0
  double scale = 1;
  bool early = false;  // q reads the state before its token
};

// S ← diag(e^g)·S + bᵀ(a·S) + kᵀv;  o = scale·q·S, or before that with `early` (kernels/dplr.h). Result like v. `state` [B, H, K, V] f32 (f64), when given, is what S
// begins with and afterwards what it ended with; it takes no gradient. For gradients, S is kept before every chunk of 16 tokens.
Tensor dplr(Tape& tape, const Dplr& in, const Tensor& state = Tensor());

// x + (Σ_i q_i·u_i·k_i)·v per head: what the current token adds to its own output [RWKV]. q, k [.., H, K], u_HK f32 (f64); x, v [.., H, V].
Tensor add_bonus(Tape& tape, const Tensor& x, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u_HK);

}  // namespace gamut::ops
