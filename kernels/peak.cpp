#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "kernels/gemm_driver.h"
#include "kernels/gemm_tiers.h"

namespace gamut::kernels {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

double measure_peak_flops(ThreadPool& pool, DType dtype) {
  const TileKernel* tier = tile_kernel(dtype);
  const TileKernel& kernel = tier ? *tier : dtype == DType::f64 ? portable::gemm_f64 : portable::gemm_f32;
  // Rounds for about 1 ms on one thread, shorter than what a busy system lets run in one piece; then often on all.
  int64_t rounds = 1000;
  for (double took = 0; took < 0.5e-3; rounds *= 2) {
    const auto start = Clock::now();
    kernel.spin(rounds);
    took = seconds_since(start);
  }
  double best = 0;
  std::vector<int64_t> flops(static_cast<size_t>(pool.threads()));
  for (int run = 0; run < 50; ++run) {
    const auto start = Clock::now();
    pool.parallel_for(pool.threads(), [&](int64_t task, int) { flops[static_cast<size_t>(task)] = kernel.spin(rounds); });
    const double took = seconds_since(start);
    int64_t total = 0;
    for (const int64_t f : flops) total += f;
    best = std::max(best, static_cast<double>(total) / took);
  }
  return best;
}

double measure_read_bandwidth(ThreadPool& pool) {
  constexpr int64_t kWords = 8 << 20;  // 64 MiB a thread
  const int threads = pool.threads();
  std::vector<std::vector<uint64_t>> memory(static_cast<size_t>(threads));
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  pool.parallel_for(threads, [&](int64_t task, int) { memory[static_cast<size_t>(task)].assign(kWords, 1); });
  double best = 0;
  for (int run = 0; run < 4; ++run) {
    const auto start = Clock::now();
    pool.parallel_for(threads, [&](int64_t task, int) {
      const uint64_t* words = memory[static_cast<size_t>(task)].data();
      uint64_t sum[8] = {};
      for (int64_t i = 0; i < kWords; i += 8)
        for (int j = 0; j < 8; ++j) sum[j] += words[i + j];
      for (const uint64_t s : sum) sums[static_cast<size_t>(task)] += s;
    });
    best = std::max(best, 8.0 * kWords * threads / seconds_since(start));
  }
  return best;
}

}  // namespace gamut::kernels
