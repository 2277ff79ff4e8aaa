// Rotary position embedding of query or key heads.
#pragma once

#include "core/tape.h"
#include "kernels/rotary.h"

namespace gamut::ops {

// x [..., H, K]; position_N int32, one for each of the rows before H; cos_MR, sin_MR f32 (f64) of all positions.
// The first 2·R of K elements are rotated [Su et al., 2021]. Error when a table does not fit.
Tensor rotary(Tape& tape, const Tensor& x, const Tensor& position_N, const Tensor& cos_MR, const Tensor& sin_MR, kernels::RotaryStyle style);

}  // namespace gamut::ops
