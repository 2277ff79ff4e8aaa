// The weighted mean of all tokens so far: RWKV-4's time mixing.
#pragma once

#include "core/tape.h"
#include "kernels/wkv.h"

namespace gamut::ops {

struct Wkv {
  Tensor key, value;  // [B, T, C]
  Tensor log_rate_C;  // f32 (f64): weights decay by e^−rate a token, rate = e^log_rate
  Tensor bonus_C;     // f32 (f64): added to the current token's key
};

// The formula: kernels/wkv.h. Result like value. `state` [B, 3, C] f32 (f64), when given, is what the sums begin with (zeros: nothing yet) and afterwards what
// they ended with; it takes no gradient. For gradients, sums are kept before every chunk of 32 tokens.
Tensor wkv(Tape& tape, const Wkv& in, const Tensor& state = Tensor());

}  // namespace gamut::ops
