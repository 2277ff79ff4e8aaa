// Small matrix products on scratch memory, the arithmetic of attention: C[R rows, C vectors] (+)= A·B.
#include "kernels/simd/attention_layout.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr int kTileRows = 4;
constexpr int kTileVectors = W == 16 ? 4 : 2;          // rows × vectors of sums, the vectors of B and one of A fit the registers
constexpr int64_t kPanel = kTileVectors * int64_t{W};  // keys in a panel of transposed keys
static_assert(kKeyBlock % kPanel == 0);

// A: element (r, k) at a[r·row + k·step]. B: row k at b + k·b_step. C: row r at c + r·c_step.
struct TileProduct {
  int64_t depth;
  const float* a;
  int64_t row, step;
  const float* b;
  int64_t b_step;
  float* c;
  int64_t c_step;
  const float* factor_R;  // ? C starts as factor·C; null: as 0
};

// One chain of multiply-adds over k for every element, so that no element depends on R, C or its neighbours.
template <int R, int C> void tile(const TileProduct& p) {
  const int64_t row = p.row, step = p.step, b_step = p.b_step, c_step = p.c_step;
  const float *a = p.a, *b = p.b;
  float* const out = p.c;
  F sum[R][C];
  if (p.factor_R) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sum[r][c] = p.factor_R[r] * load(out + r * c_step + c * W);
  } else {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sum[r][c] = F{};
  }
  for (int64_t k = p.depth; k > 0; --k, a += step, b += b_step) {
    F b_C[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) b_C[c] = load(b + c * W);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const F a_r = set1(a[r * row]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sum[r][c] = madd(a_r, b_C[c], sum[r][c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(out + r * c_step + c * W, sum[r][c]);
}

using TileFn = void (*)(const TileProduct&);
constexpr TileFn kTiles[4][4] = {{tile<1, 1>, tile<1, 2>, tile<1, 3>, tile<1, 4>},
                                 {tile<2, 1>, tile<2, 2>, tile<2, 3>, tile<2, 4>},
                                 {tile<3, 1>, tile<3, 2>, tile<3, 3>, tile<3, 4>},
                                 {tile<4, 1>, tile<4, 2>, tile<4, 3>, tile<4, 4>}};

// `rows` ≤ kTileRows rows, any number of columns (a multiple of W).
void multiply(int64_t rows, int64_t columns, TileProduct p) {
  for (int64_t left = columns / W; left > 0;) {
    const int64_t vectors = left < kTileVectors ? left : kTileVectors;
    kTiles[rows - 1][vectors - 1](p);
    p.b += vectors * W;
    p.c += vectors * W;
    left -= vectors;
  }
}

constexpr float kOnes[kTileRows] = {1, 1, 1, 1};

// to[n, padded(d)] = factor · from[n, d], with zeros in the padding.
template <class T> void copy_rows(int64_t n, int64_t d, const T* from, int64_t stride, float factor, float* to) {
  for (int64_t j = 0; j < n; ++j, from += stride, to += padded(d)) {
    sweep(d, [&](int64_t i, auto part) GAMUT_INLINED { store(to + i, factor * load(from + i, part)); });
    for (int64_t i = (d + W - 1) / W * W; i < padded(d); i += W) store(to + i, F{});
  }
}

// Rows to columns: element (j, c) of `count` rows goes to panel j / kPanel, [d][kPanel]. Missing rows of the last vector are
// zeros.
template <class T> void pack_panels(int64_t count, int64_t d, const T* from, int64_t stride, float* to) {
  for (int64_t j = 0; j < count; j += W) {
    float* column = to + j / kPanel * kPanel * d + j % kPanel;
    sweep(d, [&](int64_t c, auto part) GAMUT_INLINED {
      F x[W];
      for (int i = 0; i < W; ++i) x[i] = j + i < count ? load(from + (j + i) * stride + c, part) : F{};
      transpose(x);
      const int64_t lines = d - c < W ? d - c : W;
      for (int64_t i = 0; i < lines; ++i) store(column + (c + i) * kPanel, x[i]);
    });
  }
}

// Hands out scratch memory, every piece on a cache line.
struct Space {
  float* next;
  float* take(int64_t floats) {
    float* piece = next;
    next += padded(floats);
    return piece;
  }
};

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
