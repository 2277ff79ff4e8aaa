// Causal depthwise convolution over time.
#pragma once

#include "core/tape.h"
#include "kernels/activation.h"
#include "kernels/conv.h"

namespace gamut::ops {

struct ConvWeight {
  Tensor w_CW;     // [C, W] f32 (f64); the last tap is the current token
  Tensor bias_C;   // ?
  kernels::Activation activation = kernels::Activation::identity;  // of the result; silu costs nothing
};

// x [B, T, C]; result like x (kernels/conv.h). `before`, when given, is [B, W−1, C] like x: the inputs before the first token; it
// takes no gradient and holds the last W−1 inputs afterwards. Without it the sequence begins with zeros.
Tensor conv(Tape& tape, const Tensor& x, const ConvWeight& weight, const Tensor& before = Tensor());

// x one position later: y[t] = x[t−1], y[0] = `before` [B, 1, C] or zeros. The token shift of RWKV.
Tensor shift(Tape& tape, const Tensor& x, const Tensor& before = Tensor());

}  // namespace gamut::ops
