// float32 products, and bf16 products decoded to float32, by 256-bit fused multiply-add.
#include <immintrin.h>

#include <cstring>

#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {
#include "kernels/gemm_tile.inl"

struct Sums256 {
  struct Sums {
    __m256 low, high;
  };
  using Mask = int;  // valid columns
  static constexpr int kScalar = 4, kPanelStep = 64;

  static Sums zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Sums load_sums(const std::byte* p) {
    const float* f = reinterpret_cast<const float*>(p);
    return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
  }
  static void store_sums(std::byte* p, const Sums& s) {
    float* f = reinterpret_cast<float*>(p);
    _mm256_storeu_ps(f, s.low);
    _mm256_storeu_ps(f + 8, s.high);
  }
  static Sums add(const Sums& a, const Sums& b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }

  static Mask mask(int columns) { return columns; }
  static __m256i lanes(int columns) {  // lane i is set when i < columns
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(columns), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Sums load(const std::byte* p, Mask columns) {
    const float* f = reinterpret_cast<const float*>(p);
    return {_mm256_maskload_ps(f, lanes(columns)), _mm256_maskload_ps(f + 8, lanes(columns - 8))};
  }
  static void store(std::byte* p, const Sums& s, Mask columns) {
    if (columns == kPanel) return store_sums(p, s);
    float* f = reinterpret_cast<float*>(p);
    _mm256_maskstore_ps(f, lanes(columns), s.low);
    _mm256_maskstore_ps(f + 8, lanes(columns - 8), s.high);
  }
  static __m256 decode(__m128i eight) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16)); }
  static Sums load_half(const std::byte* p, Mask columns) {
    alignas(32) std::byte whole[32] = {};
    if (columns < kPanel) {
      std::memcpy(whole, p, static_cast<size_t>(2 * columns));
      p = whole;
    }
    return {decode(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), decode(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)))};
  }
  // The upper half of each word after rounding to nearest even; NaN kept.
  static __m256i rounded(__m256 s) {
    const __m256i u = _mm256_castps_si256(s);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(s, s, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    return _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, nan), 16);
  }
  static void store_half(std::byte* p, const Sums& s, Mask columns) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded(s.low), rounded(s.high)), 0xd8);
    if (columns == kPanel) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
    } else {
      alignas(32) std::byte whole[32];
      _mm256_store_si256(reinterpret_cast<__m256i*>(whole), packed);
      std::memcpy(p, whole, static_cast<size_t>(2 * columns));
    }
  }
};

struct Single : Sums256 {
  using Panel = Sums;
  using Row = __m256;
  static Panel load_panel(const std::byte* p) { return load_sums(p); }
  static Row load_row(const std::byte* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
  static Sums dot(const Sums& s, Row x, const Panel& w) { return {_mm256_fmadd_ps(x, w.low, s.low), _mm256_fmadd_ps(x, w.high, s.high)}; }
};

// A is decoded while it is staged, B in registers: even k are the low halves of a panel's words, odd k the high ones.
struct Decoded : Sums256 {
  struct Panel {
    Sums even, odd;
  };
  struct Row {
    __m256 even, odd;
  };
  static __m256 even(__m256i w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
  static __m256 odd(__m256i w) { return _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(-65536))); }
  static Panel load_panel(const std::byte* p) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32));
    return {{even(low), even(high)}, {odd(low), odd(high)}};
  }
  static Row load_row(const std::byte* p) { return {Single::load_row(p), Single::load_row(p + 4)}; }
  static Sums dot(const Sums& s, const Row& x, const Panel& w) { return Single::dot(Single::dot(s, x.even, w.even), x.odd, w.odd); }
};

// Sixteen registers: 12 sums of 6×16, or 8 beside a decoded panel.
template <class V> constexpr int kMost = 6;
template <> constexpr int kMost<Decoded> = 4;

template <class V> int rows_for(int panels) { return panels == 1 ? kMost<V> : panels == 2 ? 2 : 0; }
template <class V> TileFn block_for(int rows, int panels) {
  return panels == 1 ? block_of<V, 1, kMost<V>>(rows) : block_of<V, 2, 2>(rows);
}

void stage_copy(const std::byte* row, int64_t k, std::byte* out, int64_t) { std::memcpy(out, row, static_cast<size_t>(4 * k)); }

void stage_decoded(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  int64_t i = 0;
  for (; i + kPanel <= k; i += kPanel) Sums256::store_sums(out + 4 * i, Sums256::load_half(row + 2 * i, kPanel));
  if (i < 2 * steps) Sums256::store(out + 4 * i, Sums256::load_half(row + 2 * i, static_cast<int>(k - i)), static_cast<int>(2 * steps - i));
}

void pack_single(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  for (int64_t i = 0; i < k; ++i) Sums256::store_sums(out + i * 64, Sums256::load(src + i * stride, columns));
}

// Two rows of bf16, the second zero past the last k.
struct TwoRows {
  Sums256::Sums even, odd;
};
TwoRows two_rows(const std::byte* src, int64_t stride, bool both, int columns) {
  return {Sums256::load_half(src, columns), both ? Sums256::load_half(src + stride, columns) : Sums256::zero()};
}

void pack_pairs(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  const auto pair = [](__m256 even, __m256 odd) {
    return _mm256_or_ps(_mm256_castsi256_ps(_mm256_srli_epi32(_mm256_castps_si256(even), 16)), odd);
  };
  for (int64_t i = 0; i < k; i += 2, src += 2 * stride, out += 64) {
    const auto [even, odd] = two_rows(src, stride, i + 1 < k, columns);
    Sums256::store_sums(out, {pair(even.low, odd.low), pair(even.high, odd.high)});
  }
}

// [steps][16 rows of A][even, odd] float32.
void pack_rows_decoded(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t) {
  const auto interleave = [](__m256 even, __m256 odd, std::byte* to) {
    const __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    Sums256::store_sums(to, {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)});
  };
  for (int64_t i = 0; i < k; i += 2, src += 2 * stride, out += 128) {
    const auto [even, odd] = two_rows(src, stride, i + 1 < k, columns);
    interleave(even.low, odd.low, out);
    interleave(even.high, odd.high, out + 64);
  }
}

template <int kBytes> int64_t bytes(int64_t) { return kBytes; }

}  // namespace

namespace avx2 {
const TileKernel gemm_f32{.step_k = 1, .element_bytes = 4, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 4, .b_step_bytes = 64,
                          .rows_for = rows_for<Single>, .block = block_for<Single>, .panels = 1, .pass_steps = 384, .stage = stage_copy, .in_place = true,
                          .pack_panel = pack_single, .pack_rows = pack_single,
                          .packed_row_stride = bytes<4>, .packed_step_stride = bytes<64>, .packed_rows = 4, .packed_panels = 1, .packed_block = block_for<Single>, .packed_steps = 192,
                          .spin = spin<Single, 6, 1>};
const TileKernel gemm_bf16{.step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = 1, .row_multiple = 1, .a_step_bytes = 8, .b_step_bytes = 64,
                           .rows_for = rows_for<Decoded>, .block = block_for<Decoded>, .panels = 1, .pass_steps = 384,
                           .stage = stage_decoded, .in_place = false,
                           .pack_panel = pack_pairs, .pack_rows = pack_rows_decoded,
                           .packed_row_stride = bytes<8>, .packed_step_stride = bytes<128>, .packed_rows = 4, .packed_panels = 1, .packed_block = block_for<Decoded>, .packed_steps = 192,
                           .spin = spin<Decoded, 5, 2>};
}  // namespace avx2
}  // namespace gamut::kernels
