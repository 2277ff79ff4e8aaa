// Cuts matrix products into tasks and tasks into the register blocks of a tier.
#pragma once

#include <span>

#include "kernels/gemm.h"
#include "kernels/gemm_tile.h"

namespace gamut::kernels {

void gemm_tiled(ThreadPool& pool, std::span<const Gemm> problems, const TileKernel& kernel);
void gemm_at_b_tiled(ThreadPool& pool, std::span<const GemmAtB> problems, const TileKernel& kernel);

// The block kernel of the tier in use; null on the reference tier. Defined beside the candidate lists in gemm.cpp.
const TileKernel* tile_kernel(DType dtype);

}  // namespace gamut::kernels
