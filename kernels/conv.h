// Causal depthwise convolution over time, with an optional SiLU: y[t,c] = act(bias[c] + Σ_j w[c,j]·x[t−W+1+j, c]); the last tap is
// the current token. [the short convolutions of Mamba, Gu & Dao 2023, and DeltaNet, Yang et al. 2024]
//
// Against the definition in double, for inputs of order 1 and before rounding to bf16 (op cases): 2e-6 relative + 4e-6.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

constexpr int kMaxConvWidth = 16;

// One sequence, `channels` neighbouring channels of rows that are `stride` elements apart. w and bias start at the first of them.
template <class T> struct ConvForward {
  using P = accumulator<T>;
  int64_t tokens, channels, width, stride;
  bool silu;
  const T* x;
  const T* before;   // ? the width − 1 rows before the first, `stride` apart; null: zeros
  const P* w_CW;
  const P* bias_C;   // ?
  T* out;
};
// The sequence began with zeros.
template <class T> struct ConvBackward {
  using P = accumulator<T>;
  ConvForward<T> forward;  // without before and out
  const T* d_out;
  T* dx;             // ? overwritten
  P* d_w_CW;         // overwritten
  P* d_bias_C;       // overwritten
};
template <class T> using ConvForwardFn = void (*)(const ConvForward<T>&);
template <class T> using ConvBackwardFn = void (*)(const ConvBackward<T>&);
template <class T> const Candidates<ConvForwardFn<T>>& conv_forward();
template <class T> const Candidates<ConvBackwardFn<T>>& conv_backward();

}  // namespace gamut::kernels
