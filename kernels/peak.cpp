#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "kernels/cpu.h"
#include "kernels/gemm_driver.h"
#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Runs `spin(rounds)`, which returns the operations done, for about 1 ms on one thread, shorter than what a busy system lets run in one
// piece; then often on all.
template <class Spin> double best_rate(ThreadPool& pool, const Spin& spin) {
  int64_t rounds = 1000;
  for (double took = 0; took < 0.5e-3; rounds *= 2) {
    const auto start = Clock::now();
    spin(rounds);
    took = seconds_since(start);
  }
  double best = 0;
  std::vector<int64_t> done(static_cast<size_t>(pool.threads()));
  for (int run = 0; run < 50; ++run) {
    const auto start = Clock::now();
    pool.parallel_for(pool.threads(), [&](int64_t task, int) { done[static_cast<size_t>(task)] = spin(rounds); });
    const double took = seconds_since(start);
    int64_t total = 0;
    for (const int64_t d : done) total += d;
    best = std::max(best, static_cast<double>(total) / took);
  }
  return best;
}

// Sweeps over 64 MiB a thread; `sweep(words)` touches `bytes` each time.
template <class Sweep> double best_bandwidth(ThreadPool& pool, double passes, const Sweep& sweep) {
  constexpr int64_t kWords = 8 << 20;
  const int threads = pool.threads();
  std::vector<std::vector<uint64_t>> memory(static_cast<size_t>(threads));
  pool.parallel_for(threads, [&](int64_t task, int) { memory[static_cast<size_t>(task)].assign(kWords, 1); });
  double best = 0;
  for (int run = 0; run < 4; ++run) {
    const auto start = Clock::now();
    pool.parallel_for(threads, [&](int64_t task, int) { sweep(memory[static_cast<size_t>(task)]); });
    best = std::max(best, passes * 8.0 * kWords * threads / seconds_since(start));
  }
  return best;
}

#if defined(__x86_64__)
constexpr int kSums = 10;  // independent ones: more than the latency of an instruction
// Rounds of kSums times one step on whole vectors; register operands alone.
#define GAMUT_SPIN_INT8(name, isa, Vector, step)                                                                              \
  [[gnu::target(isa)]] int64_t name(int64_t rounds) {                                                                         \
    Vector sums[kSums] = {}, a = {}, b = {};                                                                                  \
    asm volatile("" : "+x"(a), "+x"(b));                    /* the compiler must not know them */                             \
    for (Vector & sum : sums) asm volatile("" : "+x"(sum)); /* nor that they are alike */                                     \
    for (int64_t round = 0; round < rounds; ++round) _Pragma("GCC unroll 10") for (int i = 0; i < kSums; ++i) sums[i] = step; \
    for (int i = 0; i < kSums; ++i) asm volatile("" : : "x"(sums[i]));                                                        \
    return rounds * kSums * static_cast<int64_t>(sizeof(Vector)) * 2;                                                         \
  }
GAMUT_SPIN_INT8(spin_avx2, "avx2", __m256i, _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), a)))
GAMUT_SPIN_INT8(spin_avx_vnni, "avxvnni", __m256i, _mm256_dpbusd_avx_epi32(sums[i], a, b))
GAMUT_SPIN_INT8(spin_avx512_vnni, "avx512f,avx512vnni", __m512i, _mm512_dpbusd_epi32(sums[i], a, b))
#undef GAMUT_SPIN_INT8

bool has_avx_vnni() {  // __builtin_cpu_supports of GCC 12 overlooks it
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

// Four tiles of sums, operands in two. Products of matrices keep their configuration on a thread, so it is put back.
int64_t spin_amx(int64_t rounds) {
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
  } config, before;
  asm volatile("sttilecfg %0" : "=m"(before));
  asm volatile("ldtilecfg %0\n\ttilezero %%tmm4\n\ttilezero %%tmm5" : : "m"(config));
  for (int64_t round = 0; round < rounds; ++round)
    asm volatile("tdpbusd %%tmm5, %%tmm4, %%tmm0\n\ttdpbusd %%tmm5, %%tmm4, %%tmm1\n\ttdpbusd %%tmm5, %%tmm4, %%tmm2\n\ttdpbusd %%tmm5, %%tmm4, %%tmm3" : :);
  asm volatile("ldtilecfg %0" : : "m"(before));
  return rounds * 4 * 16 * 16 * 64 * 2;
}
#endif

}  // namespace

double measure_peak_flops(ThreadPool& pool, DType dtype) {
  const TileKernel* tier = tile_kernel(dtype);
  const TileKernel& kernel = tier ? *tier : dtype == DType::f64 ? portable::gemm_f64 : portable::gemm_f32;
  return best_rate(pool, kernel.spin);
}

double measure_peak_int8(ThreadPool& pool) {
#if defined(__x86_64__)
  const Tier tier = best_tier();
  if (tier >= Tier::amx) return best_rate(pool, spin_amx);
  if (tier >= Tier::avx512 && __builtin_cpu_supports("avx512vnni")) return best_rate(pool, spin_avx512_vnni);
  if (tier >= Tier::avx2 && has_avx_vnni()) return best_rate(pool, spin_avx_vnni);
  if (tier >= Tier::avx2) return best_rate(pool, spin_avx2);
#endif
  return 0;
}

double measure_read_bandwidth(ThreadPool& pool) {
  std::vector<uint64_t> sums(static_cast<size_t>(pool.threads()));
  return best_bandwidth(pool, 1, [&](const std::vector<uint64_t>& memory) {
    uint64_t sum[8] = {};
    for (size_t i = 0; i < memory.size(); i += 8)
      for (size_t j = 0; j < 8; ++j) sum[j] += memory[i + j];
    for (const uint64_t s : sum) asm volatile("" : : "r"(s));
  });
}

double measure_update_bandwidth(ThreadPool& pool) {
  return best_bandwidth(pool, 2, [](std::vector<uint64_t>& memory) {
    for (uint64_t& word : memory) word += 1;
  });
}

}  // namespace gamut::kernels
