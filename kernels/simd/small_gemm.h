// Products of small float matrices that live in the caches: C = A·B or C += A·B.
#pragma once

#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// A[m, k] = a[m·row + k·column]: so a transposed A costs nothing. B and C have rows of whole vectors.
struct Left {
  const float* a;
  int64_t row, column;
};
// Zeros of A that need not be multiplied: above the diagonal, or below.
enum class Zeros : uint8_t { none, above, below };

#if defined(__AVX512F__)
constexpr int kSmallRows = 6, kSmallVectors = 4;
#elif defined(__AVX2__)
constexpr int kSmallRows = 6, kSmallVectors = 2;
#else
constexpr int kSmallRows = 4, kSmallVectors = 2;
#endif

template <int kRows, int kVectors>
GAMUT_INLINE void small_tile(Left a, int64_t k0, int64_t k1, const float* b, int64_t b_row, float* c, int64_t c_row, bool add) {
  F sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) sums[r][n] = add ? load(c + r * c_row + n * W) : F{};
  for (int64_t k = k0; k < k1; ++k) {
    F row[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) row[n] = load(b + k * b_row + n * W);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F x = set1(a.a[r * a.row + k * a.column]);
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) sums[r][n] = madd(x, row[n], sums[r][n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) store(c + r * c_row + n * W, sums[r][n]);
}

template <int kVectors>
void small_columns(Left a, int64_t m, int64_t kk, Zeros zeros, const float* b, int64_t b_row, float* c, int64_t c_row, bool add) {
  for (int64_t r = 0; r < m;) {
    const int64_t left = m - r, height = left >= kSmallRows ? kSmallRows : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    const Left block{a.a + r * a.row, a.row, a.column};
    const int64_t k0 = zeros == Zeros::below ? r : 0, k1 = zeros == Zeros::above ? (r + height < kk ? r + height : kk) : kk;
    if (height == kSmallRows) small_tile<kSmallRows, kVectors>(block, k0, k1, b, b_row, c + r * c_row, c_row, add);
    else if (height == 4) small_tile<4, kVectors>(block, k0, k1, b, b_row, c + r * c_row, c_row, add);
    else if (height == 2) small_tile<2, kVectors>(block, k0, k1, b, b_row, c + r * c_row, c_row, add);
    else small_tile<1, kVectors>(block, k0, k1, b, b_row, c + r * c_row, c_row, add);
    r += height;
  }
}

// C [m, n] = A [m, kk]·B [kk, n], n a multiple of W.
inline __attribute__((noinline)) void small_gemm(Left a, int64_t m, int64_t kk, Zeros zeros, const float* b, int64_t b_row, int64_t n, float* c, int64_t c_row, bool add) {
  int64_t at = 0;
  for (; at + kSmallVectors * W <= n; at += kSmallVectors * W) small_columns<kSmallVectors>(a, m, kk, zeros, b + at, b_row, c + at, c_row, add);
  for (; at < n; at += W) small_columns<1>(a, m, kk, zeros, b + at, b_row, c + at, c_row, add);
}

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
