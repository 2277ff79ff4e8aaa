// The AMX kernel on tiles in memory, against the arithmetic of one instruction written out: every bit, on any machine.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/gemm_driver.h"
#include "kernels/gemm_tiers.h"
#include "kernels/ref/gemm_tiles.h"

namespace gamut::kernels {
namespace {

struct alignas(64) Line {
  std::byte bytes[64];
};

std::vector<bf16> random_matrix(int64_t count, const char* name) {
  const RandomStream random(3, "gemm_tiles_test", name);
  std::vector<bf16> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = bf16(static_cast<float>(random.normal(i)));
  // Subnormal inputs, and products and sums that become subnormal.
  for (size_t i = 5; i < out.size(); i += 97) out[i].bits = static_cast<uint16_t>(i % 128);
  for (size_t i = 11; i < out.size(); i += 89) out[i] = bf16(1e-20f);
  return out;
}

// Σ over k in the order of the tiles: 32 at a time, zeros past the end.
template <class A, class B> float oracle(int64_t depth, A a, B b) {
  float sum = 0;
  for (int64_t k = 0; k < depth; k += 32) {
    float x[32] = {}, w[32] = {};
    for (int64_t i = k; i < std::min(depth, k + 32); ++i) {
      x[i - k] = static_cast<float>(a(i));
      w[i - k] = static_cast<float>(b(i));
    }
    sum = ref::tile_dot(sum, x, w);
  }
  return sum;
}

void check_product(const TileKernel& kernel, int64_t m, int64_t n, int64_t k) {
  SCOPED_TRACE("M=" + std::to_string(m) + " N=" + std::to_string(n) + " K=" + std::to_string(k));
  ThreadPool pool(2);
  const std::vector<bf16> a = random_matrix(m * (k + 1), "a"), b = random_matrix(k * n, "b");
  std::vector<float> wide(b.size()), c(static_cast<size_t>(m * n), NAN);
  for (size_t i = 0; i < b.size(); ++i) wide[i] = static_cast<float>(b[i]);
  std::vector<Line> packed(static_cast<size_t>(packed_bytes(DType::bf16, k, n)) / 64);
  pack(pool, DType::bf16, wide.data(), k, n, n, 1, packed.data()->bytes);
  Gemm g{.m = m, .n = n, .c = c.data(), .ldc = n};
  g.terms[0] = {a.data(), k + 1, {DType::bf16, k, n, packed.data()->bytes}};
  gemm_tiled(pool, {&g, 1}, kernel);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const float expected = oracle(k, [&](int64_t x) { return a[static_cast<size_t>(i * (k + 1) + x)]; },
                                    [&](int64_t x) { return b[static_cast<size_t>(x * n + j)]; });
      ASSERT_EQ(std::memcmp(&c[static_cast<size_t>(i * n + j)], &expected, 4), 0) << "C[" << i << "," << j << "]";
    }
}

void check_gradient(const TileKernel& kernel, int64_t m, int64_t p, int64_t q) {
  SCOPED_TRACE("m=" + std::to_string(m) + " p=" + std::to_string(p) + " q=" + std::to_string(q));
  ThreadPool pool(2);
  const std::vector<bf16> a = random_matrix(m * p, "a"), b = random_matrix(m * q, "b");
  std::vector<float> c(static_cast<size_t>(p * q), NAN);
  const GemmAtB g{.dtype = DType::bf16, .a = a.data(), .lda = p, .b = b.data(), .ldb = q, .m = m, .p = p, .q = q,
                  .c = c.data(), .ldc = q, .accumulate = false};
  gemm_at_b_tiled(pool, {&g, 1}, kernel);
  for (int64_t i = 0; i < p; ++i)
    for (int64_t j = 0; j < q; ++j) {
      const float expected = oracle(m, [&](int64_t x) { return a[static_cast<size_t>(x * p + i)]; },
                                    [&](int64_t x) { return b[static_cast<size_t>(x * q + j)]; });
      ASSERT_EQ(std::memcmp(&c[static_cast<size_t>(i * q + j)], &expected, 4), 0) << "C[" << i << "," << j << "]";
    }
}

void check_all(const TileKernel& kernel) {
  for (int64_t m = 1; m <= 64; ++m) check_product(kernel, m, 16 + 5 * (m % 14), 40);
  for (int64_t k = 1; k <= 70; ++k) check_product(kernel, 1 + k % 35, 34, k);
  check_product(kernel, 40, 48, 9001);  // in several passes
  for (int64_t m = 0; m <= 70; ++m) check_gradient(kernel, m, 1 + m % 37, 1 + 2 * m % 51);
  check_gradient(kernel, 500, 70, 40);  // in several stretches
}

TEST(SoftwareTiles, EveryBitOfTheInstruction) { check_all(ref::gemm_software_tiles); }

#if GAMUT_COMPILED_TIER >= 5
// Its packing needs no tiles, so it runs here too.
TEST(SoftwareTiles, WithThePackingOfTheAmxTier) {
  if (machine_tier() < Tier::avx512_bf16) GTEST_SKIP() << "needs AVX-512 BF16";
  TileKernel kernel = ref::gemm_software_tiles;
  kernel.pack_panel = amx::gemm_bf16.pack_panel;
  kernel.pack_rows = amx::gemm_bf16.pack_rows;
  kernel.stage = amx::gemm_bf16.stage;
  check_all(kernel);
}

TEST(Tiles, EveryBitOfTheInstruction) {
  if (machine_tier() < Tier::amx) GTEST_SKIP() << "needs AMX";
  check_all(amx::gemm_bf16);
}
#endif

TEST(SoftwareTiles, EpiloguesAndGroups) {
  ThreadPool pool(2);
  const int64_t n = 37, k = 45, counts[] = {0, 33, 5, 17};
  const std::vector<bf16> a = random_matrix(55 * k, "a"), b = random_matrix(k * n, "b");
  std::vector<float> wide(b.size()), bias(static_cast<size_t>(n));
  for (size_t i = 0; i < b.size(); ++i) wide[i] = static_cast<float>(b[i]);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) / 8;
  std::vector<Line> packed(static_cast<size_t>(packed_bytes(DType::bf16, k, n)) / 64);
  pack(pool, DType::bf16, wide.data(), k, n, n, 1, packed.data()->bytes);
  for (const bool half : {false, true}) {
    std::vector<float> c(static_cast<size_t>(55 * n), 2.0f);
    std::vector<bf16> c_half(c.size(), bf16(2.0f));
    std::vector<Gemm> problems;
    int64_t from = 0;
    for (const int64_t rows : counts) {
      Gemm g{.m = rows, .n = n, .c = half ? static_cast<void*>(c_half.data() + from * n) : c.data() + from * n, .ldc = n,
             .c_dtype = half ? DType::bf16 : DType::f32, .bias_N = bias.data(), .accumulate = true};
      g.terms[0] = {a.data() + from * k, k, {DType::bf16, k, n, packed.data()->bytes}};
      problems.push_back(g);
      from += rows;
    }
    gemm_tiled(pool, problems, ref::gemm_software_tiles);
    for (int64_t i = 0; i < 55; ++i)
      for (int64_t j = 0; j < n; ++j) {
        const float sum = oracle(k, [&](int64_t x) { return a[static_cast<size_t>(i * k + x)]; },
                                 [&](int64_t x) { return b[static_cast<size_t>(x * n + j)]; });
        const float expected = 2.0f + (sum + bias[static_cast<size_t>(j)]);
        const auto at = static_cast<size_t>(i * n + j);
        ASSERT_EQ(half ? static_cast<float>(c_half[at]) : c[at], half ? static_cast<float>(bf16(expected)) : expected) << i << "," << j;
      }
  }
}

}  // namespace
}  // namespace gamut::kernels
