#include "kernels/ref/gemm_tiles.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/dtype.h"

namespace gamut::kernels {
namespace {
#include "kernels/gemm_amx.inl"

float flushed(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }

struct Tile {
  int rows = 0;
  std::byte bytes[kTileRows][kTileBytes];
};

struct SoftwareTiles {
  static std::array<Tile, 8>& tiles() {
    thread_local std::array<Tile, 8> all;
    return all;
  }
  static void configure(int rows) {
    const bool two = rows > kTileRows;
    for (int t = 0; t < 8; ++t) tiles()[static_cast<size_t>(t)].rows = kTileRows;
    for (const size_t t : {0, 1, 4}) tiles()[t].rows = two ? kTileRows : rows;
    for (const size_t t : {2, 3}) tiles()[t].rows = two ? rows - kTileRows : rows;
    if (two) tiles()[5].rows = rows - kTileRows;
  }
  template <int t> static void zero() { std::memset(tiles()[t].bytes, 0, sizeof tiles()[t].bytes); }
  template <int t> static void load(const std::byte* p, int64_t stride) {
    zero<t>();
    for (int r = 0; r < tiles()[t].rows; ++r) std::memcpy(tiles()[t].bytes[r], p + r * stride, kTileBytes);
  }
  template <int t> static void store(std::byte* p, int64_t stride) {
    for (int r = 0; r < tiles()[t].rows; ++r) std::memcpy(p + r * stride, tiles()[t].bytes[r], kTileBytes);
  }
  template <int c, int a, int b> static void dot() {
    bf16 panel[kTileSteps][kPanel][2], row[2 * kTileSteps];
    std::memcpy(panel, tiles()[b].bytes, sizeof panel);
    for (int m = 0; m < tiles()[a].rows; ++m) {
      float x[2 * kTileSteps], w[2 * kTileSteps], sums[kPanel];
      std::memcpy(row, tiles()[a].bytes[m], sizeof row);
      std::memcpy(sums, tiles()[c].bytes[m], sizeof sums);
      for (int k = 0; k < 2 * kTileSteps; ++k) x[k] = static_cast<float>(row[k]);
      for (int n = 0; n < kPanel; ++n) {
        for (int k = 0; k < 2 * kTileSteps; ++k) w[k] = static_cast<float>(panel[k / 2][n][k % 2]);
        sums[n] = ref::tile_dot(sums[n], x, w);
      }
      std::memcpy(tiles()[c].bytes[m], sums, sizeof sums);
    }
  }
};

// Sixteen sums, one after the other.
struct PlainSums {
  using Sums = std::array<float, kPanel>;
  static int mask(int columns) { return columns; }
  static Sums load(const std::byte* p, int columns) {
    Sums s{};
    std::memcpy(s.data(), p, static_cast<size_t>(columns) * 4);
    return s;
  }
  static Sums load_sums(const std::byte* p) { return load(p, kPanel); }
  static Sums add(const Sums& a, const Sums& b) {
    Sums s;
    for (size_t i = 0; i < s.size(); ++i) s[i] = a[i] + b[i];
    return s;
  }
  static void store(std::byte* p, const Sums& s, int columns) { std::memcpy(p, s.data(), static_cast<size_t>(columns) * 4); }
  static Sums load_half(const std::byte* p, int columns) {
    Sums s{};
    for (int i = 0; i < columns; ++i) {
      bf16 x;
      std::memcpy(&x, p + 2 * i, 2);
      s[static_cast<size_t>(i)] = static_cast<float>(x);
    }
    return s;
  }
  static void store_half(std::byte* p, const Sums& s, int columns) {
    for (int i = 0; i < columns; ++i) {
      const bf16 x(flushed(s[static_cast<size_t>(i)]));
      std::memcpy(p + 2 * i, &x, 2);
    }
  }
};

void stage(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  std::memcpy(out, row, static_cast<size_t>(2 * k));
  std::memset(out + 2 * k, 0, static_cast<size_t>(4 * steps - 2 * k));
}

void pack_panel(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  std::memset(out, 0, static_cast<size_t>(steps * kTileBytes));
  for (int64_t i = 0; i < k; ++i)
    for (int j = 0; j < columns; ++j) std::memcpy(out + i / 2 * kTileBytes + 4 * j + i % 2 * 2, src + i * stride + 2 * j, 2);
}

void pack_rows(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  std::memset(out, 0, static_cast<size_t>(kTileRows * tile_row_stride(steps)));
  for (int64_t i = 0; i < k; ++i)
    for (int j = 0; j < columns; ++j) std::memcpy(out + j * tile_row_stride(steps) + 2 * i, src + i * stride + 2 * j, 2);
}

void pack_transposed(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  std::memset(out, 0, static_cast<size_t>(steps * kTileBytes));
  for (int j = 0; j < columns; ++j)
    for (int64_t i = 0; i < k; ++i) std::memcpy(out + i / 2 * kTileBytes + 4 * j + i % 2 * 2, src + j * stride + 2 * i, 2);
}

}  // namespace

namespace ref {

float tile_dot(float acc, const float* a, const float* b) {
  float even = 0, odd = 0;
  for (int i = 0; i < 32; i += 2) {
    even = flushed(std::fma(flushed(a[i]), flushed(b[i]), even));
    odd = flushed(std::fma(flushed(a[i + 1]), flushed(b[i + 1]), odd));
  }
  return flushed(flushed(acc) + flushed(even + odd));
}

const TileKernel gemm_software_tiles{
    .step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = kTileSteps, .row_multiple = kTileRows,
    .a_step_bytes = 4, .b_step_bytes = kTileBytes,
    .rows_for = tile_rows_for, .block = tile_block_for<SoftwareTiles, PlainSums>, .panels = 2, .pass_steps = 2048,
    .stage = stage, .in_place = true, .pack_panel = pack_panel, .pack_rows = pack_rows, .pack_transposed = pack_transposed,
    .packed_row_stride = tile_row_stride, .packed_step_stride = tile_step_stride,
    .packed_rows = 2 * kTileRows, .packed_panels = 2, .packed_block = tile_block_for<SoftwareTiles, PlainSums>, .packed_steps = 512, .spin = tile_spin<SoftwareTiles>};

}  // namespace ref
}  // namespace gamut::kernels
