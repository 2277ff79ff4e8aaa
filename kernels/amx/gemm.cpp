// bf16 products on AMX tiles. The exact sums of an instruction: ref/gemm_tiles.cpp.
#include <immintrin.h>

#include <cstring>
#include <utility>

#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {
#include "kernels/avx512/gemm_vector.inl"
#include "kernels/gemm_amx.inl"

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Written as assembly because tile numbers come from templates, which GCC's intrinsics cannot take, and because GCC 12's
// _tile_loadconfig names only 8 of the 64 bytes as its input, so that the others may be optimised away.
struct Tiles {
  // A thread keeps its configuration between blocks: loading one takes as long as several dots.
  static void configure(int rows) {
    thread_local int loaded = 0;
    if (rows == loaded) return;
    TileConfig config;
    const auto first = static_cast<uint8_t>(rows < kTileRows ? rows : kTileRows);
    const auto second = static_cast<uint8_t>(rows > kTileRows ? rows - kTileRows : rows);  // tiles 2 and 3 are first ones then
    const uint8_t by_tile[8] = {first, first, second, second, first, rows > kTileRows ? second : uint8_t{kTileRows}, kTileRows, kTileRows};
    for (int t = 0; t < 8; ++t) {
      config.row_bytes[t] = kTileBytes;
      config.rows[t] = by_tile[t];
    }
    asm volatile("ldtilecfg %0" : : "m"(config));
    loaded = rows;
  }
  template <int t> static void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(t)); }
  template <int t> static void load(const std::byte* p, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(t) : "memory");
  }
  template <int t> static void store(std::byte* p, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(t) : "memory");
  }
  template <int c, int a, int b> static void dot() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b)); }
};

struct Sums : Sums512 {
  static void store_half(std::byte* p, __m512 s, Mask m) { _mm256_mask_storeu_epi16(p, m, (__m256i)_mm512_cvtneps_pbh(s)); }
};

void stage(const std::byte* row, int64_t k, std::byte* out, int64_t steps) {
  std::memcpy(out, row, static_cast<size_t>(2 * k));
  std::memset(out + 2 * k, 0, static_cast<size_t>(4 * steps - 2 * k));
}

// 16 rows of A, each with its pairs along k in a line: the transpose of a panel, 16 × 16 words at a time.
void pack_rows(const std::byte* src, int64_t stride, int64_t k, int columns, std::byte* out, int64_t steps) {
  alignas(64) std::byte words[kTileSteps * 64];
  for (int64_t s = 0; s < steps; s += kTileSteps) {
    const int64_t left = k - 2 * s < 2 * kTileSteps ? k - 2 * s : 2 * kTileSteps;
    pack_pairs(src + 2 * s * stride, stride, left > 0 ? left : 0, columns, words, kTileSteps);
    transpose_words(words, 64, out + 4 * s, tile_row_stride(steps));
  }
}

}  // namespace

namespace amx {
const TileKernel gemm_bf16{.step_k = 2, .element_bytes = 2, .sum_bytes = 4, .step_multiple = kTileSteps, .row_multiple = kTileRows,
                           .a_step_bytes = 4, .b_step_bytes = kTileBytes,
                           .rows_for = tile_rows_for, .block = tile_block_for<Tiles, Sums>, .panels = 2, .pass_steps = 2048,
                           .stage = stage, .in_place = true, .pack_panel = pack_pairs, .pack_rows = pack_rows, .pack_panels = pack_many_pairs, .pack_transposed = pack_transposed_pairs,
                           .packed_row_stride = tile_row_stride, .packed_step_stride = tile_step_stride,
                           .packed_rows = 2 * kTileRows, .packed_panels = 2, .packed_block = tile_block_for<Tiles, Sums>, .packed_steps = 512, .spin = tile_spin<Tiles>};
}
}  // namespace gamut::kernels
