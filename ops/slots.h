// A row for every choice of a token, and back.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// [N·k, D]: row t·k+j = weight[t,j]·x[t]. x [..., D], N rows; weight_Nk f32 (f64). Gradients of both.
Tensor weighted_copies(Tape& tape, const Tensor& x, const Tensor& weight_Nk);

// [N, D], or `like`'s shape: the sum of each k neighbouring rows, in order, rounded once.
Tensor sum_of_copies(Tape& tape, const Tensor& rows, int64_t k, const Shape& like);

}  // namespace gamut::ops
