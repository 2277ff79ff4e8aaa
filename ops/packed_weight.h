// Weights in the layout matrix products read, packed when first used after a change and kept beside the parameter.
#pragma once

#include "core/tape.h"
#include "kernels/gemm.h"

namespace gamut::ops {

// W is [N, K] (out × in, as Hugging Face stores it) or [E, N, K] for experts.
enum class Side : uint8_t {
  forward,   // B = Wᵀ [K, N]: Y = X·Wᵀ
  backward,  // B = W [N, K]: dX = dY·W
};

// The packed copy of expert `expert` (0 for plain weights) in the type of the activations it meets.
kernels::PackedMatrix packed(Tape& tape, const Tensor& w, DType activations, Side side, int64_t expert = 0);

}  // namespace gamut::ops
