#include "bench/measure.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "kernels/peak.h"

namespace gamut {

Json Timing::to_json() const { return {{"median", median}, {"best", best}, {"worst", worst}, {"spread", spread()}, {"runs", runs}}; }

Timing timing_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) { return seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1) + 0.5)]; };
  return {.median = at(0.5), .best = seconds.front(), .worst = seconds.back(), .quarter = at(0.25), .three_quarters = at(0.75), .runs = static_cast<int>(seconds.size())};
}

double measure_once(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Timing measure(double seconds, int least, const std::function<void()>& run) {
  run();
  std::vector<double> took;
  for (double total = 0; static_cast<int>(took.size()) < least || total < seconds; total += took.back()) took.push_back(measure_once(run));
  return timing_of(std::move(took));
}

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Limits measure_limits(ThreadPool& pool) {
  return {kernels::measure_peak_flops(pool, DType::f32), kernels::measure_peak_flops(pool, DType::bf16), kernels::measure_read_bandwidth(pool),
          kernels::measure_update_bandwidth(pool)};
}

}  // namespace gamut
