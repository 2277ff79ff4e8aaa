// Scaled dot-product attention with grouped key/value heads.
#pragma once

#include "core/tape.h"
#include "kernels/attention.h"

namespace gamut::ops {

// q [B, Tq, H, K], k [B, Tk, G, K], v [B, Tk, G, V], H a multiple of G; result [B, Tq, H·V]. Query i stands at position
// offset + i. Only the first `keys` of Tk are looked at (−1: all): k and v may be caches with room to grow.
// softmax(scale·q·kᵀ + mask)·v [Vaswani et al., 2017], computed blockwise; log Σ exp is kept for the gradient.
Tensor attention(Tape& tape, const Tensor& q, const Tensor& k, const Tensor& v, const kernels::Sight& sight, double scale, int64_t offset = 0,
                 int64_t keys = -1);

}  // namespace gamut::ops
