// The AMX kernel on tiles in memory.
#pragma once

#include "kernels/gemm_tile.h"

namespace gamut::kernels::ref {

// Rounds as the processor's tiles do, bit for bit: the same kernel body (gemm_amx.inl), for tests and comparisons on any machine.
extern const TileKernel gemm_software_tiles;

// acc += Σ a[i]·b[i] over 32 bf16 values given as floats, as one output of tdpbf16ps: even and odd places are summed apart
// by fused multiply-adds and then added; subnormal inputs and results count as zero.
float tile_dot(float acc, const float* a, const float* b);

}  // namespace gamut::kernels::ref
