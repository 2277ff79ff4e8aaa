// The block kernels of the tiers; each defined in the tier's own folder.
#pragma once

#include "kernels/gemm_tile.h"

namespace gamut::kernels {
namespace portable {
extern const TileKernel gemm_f32, gemm_bf16, gemm_f64;
}
namespace avx2 {
extern const TileKernel gemm_f32, gemm_bf16;
}
namespace avx512 {
extern const TileKernel gemm_f32, gemm_bf16;
}
namespace avx512bf16 {
extern const TileKernel gemm_bf16;
}
namespace amx {
extern const TileKernel gemm_bf16;
}
}  // namespace gamut::kernels
