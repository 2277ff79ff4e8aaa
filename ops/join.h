// Parts of heads beside each other.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// a [..., H, A], b [..., H, B] of one float type; result [..., H, A + B]. Where one of them has a single head, it stands in every head
// and its gradient is the sum over them, in order. Error when the shapes do not fit.
Tensor join_heads(Tape& tape, const Tensor& a, const Tensor& b);

}  // namespace gamut::ops
