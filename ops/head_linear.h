// A linear map for each head.
#pragma once

#include "core/tape.h"
#include "ops/packed_weight.h"

namespace gamut::ops {

// w_HNK: f32 (f64) parameter. Side::forward: x [..., H, K], y_h = x_h·W_hᵀ [..., H, N]; Side::backward: x [..., H, N], y_h = x_h·W_h
// [..., H, K]. In the type of x. Error when a width disagrees.
Tensor head_linear(Tape& tape, const Tensor& x, const Tensor& w_HNK, Side side);

}  // namespace gamut::ops
