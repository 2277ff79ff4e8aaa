#include "kernels/gemm.h"

#include <algorithm>

#include "kernels/candidates.h"
#include "kernels/gemm_driver.h"
#include "kernels/gemm_tiers.h"
#include "kernels/ref/gemm.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {
namespace {

using GemmFn = void (*)(ThreadPool&, std::span<const Gemm>);
using GemmAtBFn = void (*)(ThreadPool&, std::span<const GemmAtB>);
struct Products {
  GemmFn gemm;
  GemmAtBFn gemm_at_b;
  const TileKernel* kernel;
};

template <const TileKernel& kernel>
constexpr Products kTiled{[](ThreadPool& pool, std::span<const Gemm> problems) { gemm_tiled(pool, problems, kernel); },
                          [](ThreadPool& pool, std::span<const GemmAtB> problems) { gemm_at_b_tiled(pool, problems, kernel); },
                          &kernel};
constexpr Products kReference{ref::gemm, ref::gemm_at_b, nullptr};

const Candidates<Products>& candidates(DType dtype) {
  static const Candidates<Products> f32{GAMUT_AVX512({"avx512", Tier::avx512, kTiled<avx512::gemm_f32>})
                                        GAMUT_AVX2({"avx2", Tier::avx2, kTiled<avx2::gemm_f32>})
                                        {"portable", Tier::portable, kTiled<portable::gemm_f32>},
                                        {"ref", Tier::ref, kReference}};
  static const Candidates<Products> bf16{GAMUT_AMX({"amx", Tier::amx, kTiled<amx::gemm_bf16>})
                                         GAMUT_AVX512_BF16({"avx512_bf16", Tier::avx512_bf16, kTiled<avx512bf16::gemm_bf16>})
                                         GAMUT_AVX512({"avx512", Tier::avx512, kTiled<avx512::gemm_bf16>})
                                         GAMUT_AVX2({"avx2", Tier::avx2, kTiled<avx2::gemm_bf16>})
                                         {"portable", Tier::portable, kTiled<portable::gemm_bf16>},
                                         {"ref", Tier::ref, kReference}};
  static const Candidates<Products> f64{{"portable", Tier::portable, kTiled<portable::gemm_f64>}, {"ref", Tier::ref, kReference}};
  return dtype == DType::bf16 ? bf16 : dtype == DType::f64 ? f64 : f32;
}

#if GAMUT_COMPILED_TIER >= 4
// Rounds rows to bf16, then packs those with the tier's own functions. Neighbours in memory lie along k (row_stride 1) or along n.
void pack_rounded(ThreadPool& pool, const TileKernel& kernel, const float* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, std::byte* dst) {
  constexpr int kSlot = 6;
  const int64_t steps = (k + 31) / 32 * 16, panel_bytes = steps * kernel.b_step_bytes;
  // This tier's rounding keeps denormal numbers, as the reference does.
  const auto round = avx512::from_parameter<bf16>;
  pool.parallel_for((n + 2 * kPanel - 1) / (2 * kPanel), [&](int64_t task, int thread) {
    const int64_t first = task * 2 * kPanel, columns = std::min<int64_t>(2 * kPanel, n - first);
    std::byte* out = dst + first / kPanel * panel_bytes;
    auto* rows = reinterpret_cast<bf16*>(pool.scratch(thread, static_cast<size_t>(2 * kPanel * 2 * k), kSlot));
    const auto* bytes = reinterpret_cast<const std::byte*>(rows);
    if (row_stride == 1)
      for (int64_t j = 0; j < columns; ++j) round(k, src + (first + j) * col_stride, rows + j * k);
    else
      for (int64_t i = 0; i < k; ++i) round(columns, src + i * row_stride + first, rows + i * 2 * kPanel);
    if (row_stride != 1 && columns == 2 * kPanel) return kernel.pack_panels(bytes, 4 * kPanel, k, 1, out, panel_bytes, steps);
    for (int64_t j = 0; j < columns; j += kPanel, out += panel_bytes) {
      const int wide = static_cast<int>(std::min<int64_t>(kPanel, columns - j));
      if (row_stride == 1) kernel.pack_transposed(bytes + 2 * j * k, 2 * k, k, wide, out, steps);
      else kernel.pack_panel(bytes + 2 * j, 4 * kPanel, k, wide, out, steps);
    }
  });
}
#endif

// What needs no rounding, two panels a task: neighbours in memory lie along n, or along k where the tier transposes.
void pack_as_is(ThreadPool& pool, const TileKernel& kernel, const std::byte* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
                std::byte* dst) {
  const int64_t element = kernel.element_bytes, panel_bytes = k * kernel.b_step_bytes;
  pool.parallel_for((n + 2 * kPanel - 1) / (2 * kPanel), [&](int64_t task, int) {
    for (int64_t j = task * 2 * kPanel; j < std::min(n, (task + 1) * 2 * kPanel); j += kPanel) {
      const int columns = static_cast<int>(std::min<int64_t>(kPanel, n - j));
      std::byte* out = dst + j / kPanel * panel_bytes;
      if (col_stride == 1)
        kernel.pack_panel(src + j * element, row_stride * element, k, columns, out, k);
      else
        kernel.pack_transposed(src + j * col_stride * element, col_stride * element, k, columns, out, k);
    }
  });
}

}  // namespace

int64_t packed_bytes(DType dtype, int64_t k, int64_t n) {
  const int64_t panels = (n + 15) / 16;
  return dtype == DType::bf16 ? panels * ((k + 31) / 32) * 1024 : panels * k * 16 * static_cast<int64_t>(size_of(dtype));
}

void pack(ThreadPool& pool, DType dtype, const void* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
          std::byte* dst) {
  const TileKernel* kernel = tile_kernel(dtype);
#if GAMUT_COMPILED_TIER >= 4
  if (dtype == DType::bf16 && kernel && kernel->pack_transposed && (row_stride == 1 || col_stride == 1) && k > 0)
    return pack_rounded(pool, *kernel, static_cast<const float*>(src), k, n, row_stride, col_stride, dst);
#endif
  if (dtype != DType::bf16 && kernel && (col_stride == 1 || (row_stride == 1 && kernel->pack_transposed)))
    return pack_as_is(pool, *kernel, static_cast<const std::byte*>(src), k, n, row_stride, col_stride, dst);
  ref::pack(pool, dtype, src, k, n, row_stride, col_stride, dst);
}

void gemm(ThreadPool& pool, std::span<const Gemm> problems) {
  if (!problems.empty()) candidates(problems[0].terms[0].b.dtype).best().fn.gemm(pool, problems);
}

void gemm_at_b(ThreadPool& pool, std::span<const GemmAtB> problems) {
  if (!problems.empty()) candidates(problems[0].dtype).best().fn.gemm_at_b(pool, problems);
}

const TileKernel* tile_kernel(DType dtype) { return candidates(dtype).best().fn.kernel; }

std::string gemm_candidate_name(DType dtype) { return candidates(dtype).best().name; }

}  // namespace gamut::kernels
