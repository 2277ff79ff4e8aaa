// bf16 products by vdpbf16ps: a step adds the products of a pair of k, the odd one first, to a float32 sum.
#include <immintrin.h>

#include <cstring>

#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {
#include "kernels/avx512/gemm_vector.inl"
#include "kernels/gemm_tile.inl"

struct Pairs : Sums512 {
  using Panel = __m512i;
  using Row = __m512i;
  static Panel load_panel(const std::byte* p) { return _mm512_loadu_si512(p); }
  static Row load_row(const std::byte* p) { return _mm512_set1_epi32(_mm_cvtsi128_si32(_mm_loadu_si32(p))); }
  static Sums dot(Sums s, Row x, Panel w) { return _mm512_dpbf16_ps(s, (__m512bh)x, (__m512bh)w); }
  static void store_half(std::byte* p, Sums s, Mask m) { _mm256_mask_storeu_epi16(p, m, (__m256i)_mm512_cvtneps_pbh(s)); }
};

// 28 sums leave room for the operands; a step of 14×32 loads 2 panels and 14 values for 28 products.
int rows_for(int panels) { return panels == 1 || panels == 2 ? 14 : panels == 4 ? 7 : panels == 8 ? 3 : 0; }

TileFn block_for(int rows, int panels) {
  switch (panels) {
    case 1: return block_of<Pairs, 1, 14>(rows);
    case 2: return block_of<Pairs, 2, 14>(rows);
    case 4: return block_of<Pairs, 4, 7>(rows);
    default: return block_of<Pairs, 8, 3>(rows);
  }
}

TileFn packed_block(int rows, int panels) { return panels == 1 ? block_of<Pairs, 1, 8, true>(rows) : block_of<Pairs, 2, 8, true>(rows); }

void stage(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  std::memcpy(out, row, static_cast<size_t>(2 * k));
  std::memset(out + 2 * k, 0, static_cast<size_t>(4 * steps - 2 * k));
}

int64_t packed_row_stride(int64_t) { return 4; }
int64_t packed_step_stride(int64_t) { return 64; }

}  // namespace

namespace avx512bf16 {
const TileKernel gemm_bf16{.step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 4, .b_step_bytes = 64,
                           .rows_for = rows_for, .block = block_for, .panels = 2, .pass_steps = 384, .stage = stage, .in_place = true,
                           .pack_panel = pack_pairs, .pack_rows = pack_pairs, .pack_panels = pack_many_pairs, .pack_transposed = pack_transposed_pairs,
                           .packed_row_stride = packed_row_stride, .packed_step_stride = packed_step_stride,
                           .packed_rows = 8, .packed_panels = 2, .packed_block = packed_block, .packed_steps = 192, .spin = spin<Pairs, 16, 2>};
}
}  // namespace gamut::kernels
