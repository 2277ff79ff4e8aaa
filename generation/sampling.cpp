#include "generation/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "fmt/format.h"

namespace gamut {
namespace {

std::vector<double> penalised(std::span<const float> logits, std::span<const int32_t> seen, double penalty) {
  std::vector<double> out(logits.begin(), logits.end());
  if (penalty == 1) return out;
  std::vector<char> done(out.size());
  for (const int32_t id : seen) {
    const auto i = static_cast<size_t>(id);
    if (done[i]) continue;
    done[i] = 1;
    out[i] = out[i] > 0 ? out[i] / penalty : out[i] * penalty;
  }
  return out;
}

}  // namespace

void Sampling::check() const {
  const auto require = [](bool good, const char* name, double value, const char* expected) {
    if (!good) throw Error({.who = "sampling", .what = fmt::format("{} is {}, expected {}", name, value, expected)});
  };
  require(temperature >= 0 && std::isfinite(temperature), "temperature", temperature, "0 (greedy) or more");
  require(top_k >= 0, "top-k", static_cast<double>(top_k), "0 (all) or more");
  require(top_p > 0 && top_p <= 1, "top-p", top_p, "more than 0, at most 1");
  require(min_p >= 0 && min_p <= 1, "min-p", min_p, "between 0 and 1");
  require(repetition_penalty > 0 && std::isfinite(repetition_penalty), "repetition penalty", repetition_penalty, "more than 0 (1: none)");
}

std::vector<double> sampling_probabilities(std::span<const float> logits, std::span<const int32_t> seen, const Sampling& s) {
  std::vector<double> p = penalised(logits, seen, s.repetition_penalty);
  const double highest = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& x : p) sum += x = std::exp((x - highest) / s.temperature);
  std::vector<int32_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });

  size_t kept = order.size();
  const auto keep = [&](size_t n) {  // each cut sees what the one before left
    kept = std::clamp<size_t>(n, 1, kept);
    sum = 0;
    for (size_t i = 0; i < kept; ++i) sum += p[static_cast<size_t>(order[i])];
  };
  if (s.top_k > 0) keep(static_cast<size_t>(s.top_k));
  if (s.top_p < 1) {
    double reached = 0;
    size_t n = 0;
    while (n < kept && reached < s.top_p * sum) reached += p[static_cast<size_t>(order[n++])];
    keep(n);
  }
  if (s.min_p > 0) {
    size_t n = 0;
    while (n < kept && p[static_cast<size_t>(order[n])] >= s.min_p * p[static_cast<size_t>(order[0])]) ++n;
    keep(n);
  }
  std::vector<double> out(p.size(), 0.0);
  for (size_t i = 0; i < kept; ++i) out[static_cast<size_t>(order[i])] = p[static_cast<size_t>(order[i])] / sum;
  return out;
}

int32_t choose(std::span<const float> logits, std::span<const int32_t> seen, const Sampling& s, int64_t position) {
  if (s.greedy()) {
    const std::vector<double> x = penalised(logits, seen, s.repetition_penalty);
    return static_cast<int32_t>(std::max_element(x.begin(), x.end()) - x.begin());
  }
  const std::vector<double> p = sampling_probabilities(logits, seen, s);
  const double draw = RandomStream(s.seed, "sample").uniform(static_cast<uint64_t>(position));
  double reached = 0;
  int32_t last = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    reached += p[i];
    last = static_cast<int32_t>(i);
    if (draw < reached) break;
  }
  return last;
}

}  // namespace gamut
