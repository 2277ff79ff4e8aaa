#include "kernels/gemm.h"

#include "kernels/candidates.h"
#include "kernels/gemm_driver.h"
#include "kernels/gemm_tiers.h"
#include "kernels/ref/gemm.h"

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

}  // namespace

int64_t packed_bytes(DType dtype, int64_t k, int64_t n) {
  const int64_t panels = (n + 15) / 16;
  return dtype == DType::bf16 ? panels * ((k + 31) / 32) * 1024 : panels * k * 16 * static_cast<int64_t>(size_of(dtype));
}

void pack(ThreadPool& pool, DType dtype, const void* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
          std::byte* dst) {
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
