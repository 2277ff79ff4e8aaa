// float32 products, and bf16 products decoded to float32, by 512-bit fused multiply-add.
#include <immintrin.h>

#include <cstring>

#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {
#include "kernels/avx512/gemm_vector.inl"
#include "kernels/gemm_tile.inl"

struct Single : Sums512 {
  using Panel = __m512;
  using Row = __m512;
  static Panel load_panel(const std::byte* p) { return _mm512_loadu_ps(p); }
  static Row load_row(const std::byte* p) { return _mm512_castsi512_ps(_mm512_set1_epi32(_mm_cvtsi128_si32(_mm_loadu_si32(p)))); }
  static Sums dot(Sums s, Row x, Panel w) { return _mm512_fmadd_ps(x, w, s); }
};

// A is decoded while it is staged, B in registers: even k are the low halves of a panel's words, odd k the high ones.
struct Decoded : Sums512 {
  struct Panel {
    __m512 even, odd;
  };
  using Row = Panel;
  static Panel load_panel(const std::byte* p) {
    const __m512i pair = _mm512_loadu_si512(p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)), _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(-65536)))};
  }
  static Row load_row(const std::byte* p) { return {Single::load_row(p), Single::load_row(p + 4)}; }
  static Sums dot(Sums s, const Row& x, const Panel& w) { return _mm512_fmadd_ps(x.odd, w.odd, _mm512_fmadd_ps(x.even, w.even, s)); }
};

// 28 sums, or 24 beside four decoded panels.
template <class V> constexpr int kMost2 = 14;
template <> constexpr int kMost2<Decoded> = 12;

template <class V> int rows_for(int panels) { return panels == 1 ? 14 : panels == 2 ? kMost2<V> : panels == 4 ? 6 : 0; }

template <class V> TileFn block_for(int rows, int panels) {
  switch (panels) {
    case 1: return block_of<V, 1, 14>(rows);
    case 2: return block_of<V, 2, kMost2<V>>(rows);
    default: return block_of<V, 4, 6>(rows);
  }
}

template <class V> TileFn packed_block(int rows, int panels) { return panels == 1 ? block_of<V, 1, 8, true>(rows) : block_of<V, 2, 8, true>(rows); }

void stage_copy(const std::byte* row, int64_t k, std::byte* out, int64_t) { std::memcpy(out, row, static_cast<size_t>(4 * k)); }

void stage_decoded(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  for (int64_t i = 0; i < 2 * steps; i += 16) {
    const int64_t left = k - i < 16 ? k - i : 16, room = 2 * steps - i < 16 ? 2 * steps - i : 16;
    const __mmask16 mask = Sums512::mask(left > 0 ? static_cast<int>(left) : 0);
    _mm512_mask_storeu_ps(out + 4 * i, Sums512::mask(static_cast<int>(room)), Sums512::load_half(row + 2 * i, mask));
  }
}

void pack_single(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  const __mmask16 mask = Sums512::mask(columns);
  for (int64_t i = 0; i < k; ++i) _mm512_storeu_ps(out + i * 64, _mm512_maskz_loadu_ps(mask, src + i * stride));
}

// A float32 takes the place of a pair.
void pack_transposed_single(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  pack_transposed_pairs(src, stride, 2 * k, columns, out, steps);
}

// [steps][16 rows of A][even, odd] float32.
void pack_rows_decoded(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  const __mmask16 mask = Sums512::mask(columns);
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int64_t s = 0; 2 * s < k; ++s, src += 2 * stride, out += 128) {
    const __m512 even = Sums512::load_half(src, mask), odd = Sums512::load_half(src + stride, 2 * s + 1 < k ? mask : 0);
    _mm512_storeu_ps(out, _mm512_permutex2var_ps(even, low, odd));
    _mm512_storeu_ps(out + 64, _mm512_permutex2var_ps(even, high, odd));
  }
}

template <int kBytes> int64_t bytes(int64_t) { return kBytes; }

}  // namespace

namespace avx512 {
const TileKernel gemm_f32{.step_k = 1, .element_bytes = 4, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 4, .b_step_bytes = 64,
                          .rows_for = rows_for<Single>, .block = block_for<Single>, .panels = 2, .pass_steps = 384, .stage = stage_copy, .in_place = true,
                          .pack_panel = pack_single, .pack_rows = pack_single, .pack_transposed = pack_transposed_single,
                          .packed_row_stride = bytes<4>, .packed_step_stride = bytes<64>, .packed_rows = 8, .packed_panels = 2, .packed_block = packed_block<Single>, .packed_steps = 192,
                          .spin = spin<Single, 16, 1>};
const TileKernel gemm_bf16{.step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 8, .b_step_bytes = 64,
                           .rows_for = rows_for<Decoded>, .block = block_for<Decoded>, .panels = 2, .pass_steps = 384,
                           .stage = stage_decoded, .in_place = false,
                           .pack_panel = pack_pairs, .pack_rows = pack_rows_decoded, .pack_panels = pack_many_pairs,
                           .packed_row_stride = bytes<8>, .packed_step_stride = bytes<128>, .packed_rows = 8, .packed_panels = 2, .packed_block = packed_block<Decoded>, .packed_steps = 192,
                           .spin = spin<Decoded, 12, 2>};
}  // namespace avx512
}  // namespace gamut::kernels
