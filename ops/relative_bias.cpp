#include "ops/relative_bias.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace gamut::ops {

int64_t relative_bucket(int64_t d, int64_t buckets, int64_t max_distance, bool both_ways) {
  int64_t first = 0, away = std::max<int64_t>(-d, 0);
  if (both_ways) {
    buckets /= 2;
    first = d > 0 ? buckets : 0;
    away = std::abs(d);
  }
  const int64_t exact = buckets / 2;
  if (away < exact) return first + away;
  // In float, as the published models were trained: it decides on which side of a boundary a distance falls.
  const auto steps = static_cast<float>(buckets - exact);
  const float ratio = std::log(static_cast<float>(away) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  return first + std::min(exact + static_cast<int64_t>(ratio * steps), buckets - 1);
}

DistanceBias relative_bias(Tape& tape, const Tensor& table, const Distances& distances, int64_t max_distance, bool both_ways) {
  const int64_t buckets = table.shape()[0], heads = table.shape()[1], n = distances.count();
  if (buckets < (both_ways ? 4 : 2) || (both_ways && buckets % 2 != 0) || max_distance <= buckets / (both_ways ? 4 : 2))
    throw Error({.who = "relative_bias", .what = std::to_string(buckets) + " buckets do not reach distance " + std::to_string(max_distance)});
  DistanceBias bias{tape.output({heads, n}, table.dtype(), {table}), distances.low};
  tape.count("relative_bias", {.bytes = 2 * static_cast<double>(bias.value_HR.bytes())});
  // element(bucket·H + h, h·n + x) for every head h and distance, in order.
  const auto visit = [=](auto element) {
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t x = 0; x < n; ++x) element(relative_bucket(distances.low + x, buckets, max_distance, both_ways) * heads + h, h * n + x);
  };
  const auto with_type = [](DType type, auto f) { type == DType::f64 ? f.template operator()<double>() : f.template operator()<float>(); };
  if (tape.runs()) with_type(table.dtype(), [&]<class P>() { visit([&](int64_t from, int64_t to) { bias.value_HR.data<P>()[to] = table.data<P>()[from]; }); });
  if (bias.value_HR.needs_grad())
    tape.record("relative_bias", [=, d_bias = bias.value_HR.grad()](Tape& t) {
      const Tensor g = d_bias->take();
      if (!g) return;
      const Tensor d_table = t.sum_slot(table.grad());
      t.count("relative_bias", {.other_flops = static_cast<double>(g.elements()), .bytes = static_cast<double>(g.bytes())});
      if (t.runs()) with_type(table.dtype(), [&]<class P>() { visit([&](int64_t to, int64_t from) { d_table.data<P>()[to] += g.data<P>()[from]; }); });
    });
  return bias;
}

std::vector<double> alibi_slopes(int64_t heads, double exponent) {
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<double> slopes;
  for (int64_t h = 1; h <= power; ++h) slopes.push_back(std::exp2(-exponent * static_cast<double>(h) / static_cast<double>(power)));
  for (int64_t h = 1; static_cast<int64_t>(slopes.size()) < heads; h += 2) slopes.push_back(std::exp2(-exponent * static_cast<double>(h) / static_cast<double>(2 * power)));
  return slopes;
}

DistanceBias alibi(Tape& tape, int64_t heads, const Distances& distances, DType dtype, double exponent, double scale) {
  const int64_t n = distances.count();
  const DistanceBias bias{tape.empty({heads, n}, dtype), distances.low};
  if (!tape.runs()) return bias;
  const std::vector<double> slopes = alibi_slopes(heads, exponent);
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t x = 0; x < n; ++x) {
      const double value = -scale * slopes[static_cast<size_t>(h)] * static_cast<double>(std::abs(distances.low + x));
      if (dtype == DType::f64) bias.value_HR.data<double>()[h * n + x] = value;
      else bias.value_HR.data<float>()[h * n + x] = static_cast<float>(value);
    }
  return bias;
}

}  // namespace gamut::ops
