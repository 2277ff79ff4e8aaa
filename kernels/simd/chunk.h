// What attention in chunks does with rows of a chunk and with states, beside products of small matrices.
#pragma once

#include "kernels/simd/small_gemm.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

GAMUT_INLINE int64_t whole_vectors(int64_t n) { return (n + W - 1) / W * W; }

// Hands out pieces of the scratch memory.
struct Pieces {
  float* next;
  float* take(int64_t floats) {
    float* p = next;
    next += (floats + 15) / 16 * 16;
    return p;
  }
};

// to [count, padded] = rows of `from`, zeros beyond n.
template <class T> void gather_rows(const T* from, int64_t stride, int64_t count, int64_t n, float factor, float* to, int64_t padded) {
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t i = n / W * W; i < padded; i += W) store(to + r * padded + i, F{});
    sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(to + r * padded + i, factor * load(from + r * stride + i, part), part); });
  }
}

// And back: the first n of each row [padded] of `from`, to `to`.
template <class T> void scatter_rows(const float* from, int64_t padded, int64_t count, int64_t n, T* to, int64_t stride) {
  for (int64_t r = 0; r < count; ++r) sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(to + r * stride + i, load(from + r * padded + i), part); });
}

// to [columns, to_row] = fromᵀ for from [rows, from_row], both in whole vectors; rows beyond `rows` count as zeros.
void transposed(const float* from, int64_t rows, int64_t columns, int64_t from_row, float* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r += W)
    for (int64_t c = 0; c < columns; c += W) {
      F x[W];
      for (int i = 0; i < W; ++i) x[i] = r + i < rows ? load(from + (r + i) * from_row + c) : F{};
      transpose(x);
      for (int i = 0; i < W; ++i) store(to + (c + i) * to_row + r, x[i]);
    }
}

// factor_r·a_r over rows.
void scaled_rows(const float* a, const float* factor, int64_t count, int64_t width, float* out) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < width; i += W) store(out + r * width + i, factor[r] * load(a + r * width + i));
}

GAMUT_INLINE float dot(const float* a, const float* b, int64_t n) {
  F s{};
  for (int64_t i = 0; i < n; i += W) s = madd(load(a + i), load(b + i), s);
  return sum(s);
}

// A state in rows of whole vectors: the caller's memory when it has them, else a copy.
void padded_state(const float* from, int64_t k, int64_t v, float* to, int64_t vp) { gather_rows(from, v, k, v, 1.0f, to, vp); }
void unpadded_state(const float* from, int64_t k, int64_t v, float* to, int64_t vp) { scatter_rows(from, vp, k, v, to, v); }

constexpr int64_t kSolveRows = 8;
// x ← (I + L)⁻¹·x with minus_l = −L strictly lower, its rows `row` apart; transposed: (I + L)⁻ᵀ·x.
void solve(const float* minus_l, int64_t row, int64_t count, float* x, int64_t vp) {
  for (int64_t r0 = 0; r0 < count; r0 += kSolveRows) {
    const int64_t r1 = r0 + kSolveRows < count ? r0 + kSolveRows : count;
    if (r0 > 0) small_gemm({minus_l + r0 * row, row, 1}, r1 - r0, r0, Zeros::none, x, vp, vp, x + r0 * vp, vp, true);
    for (int64_t r = r0 + 1; r < r1; ++r)
      for (int64_t i = r0; i < r; ++i) {
        const F l = set1(minus_l[r * row + i]);
        for (int64_t j = 0; j < vp; j += W) store(x + r * vp + j, madd(l, load(x + i * vp + j), load(x + r * vp + j)));
      }
  }
}
void solve_transposed(const float* minus_l, int64_t row, int64_t count, float* x, int64_t vp) {
  for (int64_t r0 = (count - 1) / kSolveRows * kSolveRows; r0 >= 0; r0 -= kSolveRows) {
    const int64_t r1 = r0 + kSolveRows < count ? r0 + kSolveRows : count;
    if (r1 < count) small_gemm({minus_l + r1 * row + r0, 1, row}, r1 - r0, count - r1, Zeros::none, x + r1 * vp, vp, vp, x + r0 * vp, vp, true);
    for (int64_t r = r1 - 2; r >= r0; --r)
      for (int64_t i = r + 1; i < r1; ++i) {
        const F l = set1(minus_l[i * row + r]);
        for (int64_t j = 0; j < vp; j += W) store(x + r * vp + j, madd(l, load(x + i * vp + j), load(x + r * vp + j)));
      }
  }
}

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
