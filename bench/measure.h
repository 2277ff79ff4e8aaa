// Timing on machines that other processes use as well: medians, spreads, and limits measured in the same minute.
#pragma once

#include <functional>
#include <vector>

#include "base/json.h"
#include "base/threads.h"

namespace gamut {

// Seconds of a run.
struct Timing {
  double median = 0, best = 0, worst = 0;
  double quarter = 0, three_quarters = 0;  // half of the runs lie between
  int runs = 0;
  double spread() const { return median > 0 ? (three_quarters - quarter) / median : 0; }
  Json to_json() const;
};
Timing timing_of(std::vector<double> seconds);

// Runs once to warm up, then at least `least` times and for at least `seconds`.
Timing measure(double seconds, int least, const std::function<void()>& run);

double measure_once(const std::function<void()>& run);  // seconds

// Processor time of this process so far, all threads together.
double cpu_seconds();

// Limits of the tier in use with all threads of the pool.
struct Limits {
  double f32 = 0, bf16 = 0;  // FLOP/s of matrix products
  double read = 0;           // bytes/s
  double update = 0;         // bytes/s, read and written
};
Limits measure_limits(ThreadPool& pool);

}  // namespace gamut
