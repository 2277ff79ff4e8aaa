#include "ops/capacity.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "ops/reduce.h"
#include "ops/rowwise.h"

namespace gamut::ops {
namespace {

// The slots of rows [first, end) in the order in which they are served.
std::vector<int64_t> served(const CapacityOptions& o, const Tensor& weight, int64_t k, int64_t first, int64_t end) {
  std::vector<int64_t> tokens(static_cast<size_t>(end - first)), slots;
  std::iota(tokens.begin(), tokens.end(), first);
  if (o.rule == DropRule::prioritised || o.rule == DropRule::random) {
    std::vector<double> key(tokens.size());
    for (size_t i = 0; i < key.size(); ++i) {
      const Tensor& from = o.scores_NE ? *o.scores_NE : weight;
      if (o.rule == DropRule::random)
        key[i] = o.key_N[first + static_cast<int64_t>(i)];
      else
        for (int64_t j = 0; j < from.width(); ++j) key[i] = std::max(key[i], value_at(from, tokens[i] * from.width() + j));
    }
    std::stable_sort(tokens.begin(), tokens.end(),
                     [&](int64_t a, int64_t b) { return key[static_cast<size_t>(a - first)] > key[static_cast<size_t>(b - first)]; });
  }
  slots.reserve(tokens.size() * static_cast<size_t>(k));
  if (o.choices_first && o.rule != DropRule::probability)
    for (int64_t j = 0; j < k; ++j)
      for (const int64_t t : tokens) slots.push_back(t * k + j);
  else
    for (const int64_t t : tokens)
      for (int64_t j = 0; j < k; ++j) slots.push_back(t * k + j);
  if (o.rule == DropRule::probability)
    std::stable_sort(slots.begin(), slots.end(), [&](int64_t a, int64_t b) { return value_at(weight, a) > value_at(weight, b); });
  if (o.exempt_N) std::stable_partition(slots.begin(), slots.end(), [&](int64_t slot) { return o.exempt_N[slot / k] != 0; });
  return slots;
}

}  // namespace

Tensor drop(Tape& tape, const Tensor& index, const Tensor& weight, int64_t experts, const CapacityOptions& o, int64_t* dropped) {
  const auto timing = tape.time("dispatch");
  const int64_t n = index.rows(), k = index.width(), group = o.group > 0 ? o.group : std::max<int64_t>(n, 1);
  if (n % group != 0) throw Error({.who = "capacity", .what = std::to_string(n) + " tokens are no whole number of groups of " + std::to_string(group)});
  const Tensor kept = tape.empty(index.shape(), DType::i32);
  tape.count("dispatch", {.bytes = 2 * static_cast<double>(index.bytes())});
  *dropped = 0;
  if (!tape.runs()) return kept;
  std::vector<int64_t> lost(static_cast<size_t>(n / group));
  tape.pool().parallel_for(n / group, [&](int64_t g, int) {
    std::vector<int64_t> taken(static_cast<size_t>((experts + o.share - 1) / o.share));
    for (const int64_t slot : served(o, weight, k, g * group, (g + 1) * group)) {
      const int32_t expert = index.data<int32_t>()[slot];
      const bool wanted = expert >= 0 && (!o.counted_N || o.counted_N->data<uint8_t>()[slot / k]), exempt = o.exempt_N && o.exempt_N[slot / k],
                 fits = wanted && (exempt || taken[static_cast<size_t>(expert / o.share)] < o.limit);
      if (fits)
        ++taken[static_cast<size_t>(expert / o.share)];
      else if (wanted)
        ++lost[static_cast<size_t>(g)];
      kept.data<int32_t>()[slot] = fits ? expert : -1;
    }
  });
  *dropped = std::accumulate(lost.begin(), lost.end(), int64_t{0});
  return kept;
}

Tensor renormalised(Tape& tape, const Tensor& index, const Tensor& weight, double floor, double total) {
  const int64_t k = weight.width();
  const auto sum_of = [index, k](int64_t row, const double* w) {
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += index.data<int32_t>()[row * k + j] >= 0 ? w[j] : 0.0;
    return sum;
  };
  return rowwise(
      tape, "router", weight, k,
      [=](int64_t row, const double* w, double* out) {
        const double z = std::max(sum_of(row, w), floor);
        for (int64_t j = 0; j < k; ++j) out[j] = index.data<int32_t>()[row * k + j] >= 0 ? total * w[j] / z : 0.0;
      },
      [=](int64_t row, const double* w, const double* d, double* dw) {
        const double sum = sum_of(row, w), z = std::max(sum, floor);
        double shared = 0;
        for (int64_t j = 0; j < k && sum > floor; ++j) shared += index.data<int32_t>()[row * k + j] >= 0 ? d[j] * w[j] / z : 0.0;
        for (int64_t j = 0; j < k; ++j) dw[j] = index.data<int32_t>()[row * k + j] >= 0 ? total * (d[j] - shared) / z : 0.0;
      });
}

}  // namespace gamut::ops
