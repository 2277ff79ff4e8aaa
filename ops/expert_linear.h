// Each token's rows through the matrices of experts chosen for it.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// [N·k, M]: row t·k+j = W_e·x[t] with e = index[t, j]; zero where e is −1. x [..., K], N rows; index_Nk int32; weight_EMK f32 (f64). Gradients of x and of the
// weights.
Tensor expert_linear(Tape& tape, const Tensor& x, const Tensor& index_Nk, const Tensor& weight_EMK);

}  // namespace gamut::ops
