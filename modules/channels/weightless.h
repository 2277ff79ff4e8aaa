// Experts without matrices, which a mixture routes to like the others: they cost next to nothing. [Jin et al., MoE++, 2024; LongCat-Flash, 2025]
#pragma once

#include "core/tape.h"
#include "ops/ffn.h"

namespace gamut {

// By index after the `experts` with matrices: zero gives 0, identity x, constant j a₁·x + a₂·v_j, a = softmax(W_j x).
struct WeightlessExperts {
  int64_t experts = 0, zero = 0, identity = 0, constant = 0;
  Tensor mix = {}, value = {};  // of constant experts: W [2·J, D], v [D, J]

  // Takes their choices out of the dispatch; [N, D] that they give, null when it is 0.
  Tensor take(Tape& tape, const Tensor& x, ops::Dispatch& dispatch) const;
};

}  // namespace gamut
