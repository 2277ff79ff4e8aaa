#include "lab/statistics.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

namespace gamut {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The continued fraction of the incomplete beta function, by Lentz's method; converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double h = d;
  for (int m = 1; m < 10000; ++m) {
    for (const double coefficient :
         {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + coefficient * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + coefficient / c;
      if (std::abs(c) < kTiny) c = kTiny;
      h *= c * d;
    }
    if (std::abs(c * d - 1) < 1e-16) break;
  }
  return h;
}

double along(double x0, double x1, double fraction, Scale scale) {
  return scale == Scale::log ? std::exp(std::log(x0) + fraction * (std::log(x1) - std::log(x0))) : x0 + fraction * (x1 - x0);
}

double fraction_of(double x0, double x1, double x, Scale scale) {
  if (x1 == x0) return 0;
  return scale == Scale::log ? (std::log(x) - std::log(x0)) / (std::log(x1) - std::log(x0)) : (x - x0) / (x1 - x0);
}

std::vector<double> logs_of_ratio(std::span<const double> a, std::span<const double> b) {
  assert(a.size() == b.size());
  std::vector<double> logs(a.size());
  for (size_t i = 0; i < a.size(); ++i) logs[i] = std::log(a[i] / b[i]);
  return logs;
}

struct Margins {
  std::vector<double> row, column;
  double total = 0;
};
Margins margins(std::span<const double> counts, int rows, int columns) {
  assert(counts.size() == static_cast<size_t>(rows) * static_cast<size_t>(columns));
  Margins m{std::vector<double>(static_cast<size_t>(rows)), std::vector<double>(static_cast<size_t>(columns))};
  for (size_t i = 0; i < counts.size(); ++i) {
    m.row[i / static_cast<size_t>(columns)] += counts[i];
    m.column[i % static_cast<size_t>(columns)] += counts[i];
    m.total += counts[i];
  }
  return m;
}
double occupied(std::span<const double> counts) {
  return static_cast<double>(std::count_if(counts.begin(), counts.end(), [](double n) { return n > 0; }));
}

}  // namespace

double mean(std::span<const double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(std::span<const double> values) {
  if (values.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  const double centre = mean(values);
  double sum = 0;
  for (const double v : values) sum += (v - centre) * (v - centre);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_t_cdf(double t, double degrees) {
  if (t == 0) return 0.5;
  // For small |t| the complementary argument t² / (n + t²) keeps the digits that n / (n + t²) ≈ 1 would lose.
  const double half = t * t < degrees ? 0.5 - 0.5 * incomplete_beta(0.5, degrees / 2, t * t / (degrees + t * t))
                                      : 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
  return t < 0 ? half : 1 - half;
}

double student_t_quantile(double probability, double degrees) {
  assert(probability > 0 && probability < 1 && degrees > 0);
  if (probability == 0.5) return 0;
  if (probability > 0.5) return -student_t_quantile(1 - probability, degrees);
  double low = -1;
  while (student_t_cdf(low, degrees) > probability) low *= 2;
  double high = 0;
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) return middle;
    (student_t_cdf(middle, degrees) < probability ? low : high) = middle;
  }
}

Interval mean_interval(std::span<const double> values, double confidence) {
  Interval interval{.estimate = mean(values), .low = -kInfinity, .high = kInfinity, .n = static_cast<int>(values.size())};
  if (values.size() < 2) return interval;
  const double n = static_cast<double>(values.size());
  const double half = student_t_quantile(0.5 + confidence / 2, n - 1) * standard_deviation(values) / std::sqrt(n);
  interval.low = interval.estimate - half;
  interval.high = interval.estimate + half;
  return interval;
}

Interval paired_difference(std::span<const double> a, std::span<const double> b, double confidence) {
  assert(a.size() == b.size());
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  return mean_interval(differences, confidence);
}

Interval paired_ratio(std::span<const double> a, std::span<const double> b, double confidence) {
  Interval interval = mean_interval(logs_of_ratio(a, b), confidence);
  interval.estimate = std::exp(interval.estimate);
  interval.low = std::exp(interval.low);
  interval.high = std::exp(interval.high);
  return interval;
}

double paired_p_value(std::span<const double> a, std::span<const double> b) {
  assert(a.size() == b.size());
  if (a.size() < 2) return 1;
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  const double centre = mean(differences);
  const double error = standard_deviation(differences) / std::sqrt(static_cast<double>(a.size()));
  if (error == 0) return centre == 0 ? 1 : 0;
  return 2 * student_t_cdf(-std::abs(centre / error), static_cast<double>(a.size() - 1));
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p_values[i] < p_values[j]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(order.size() - rank) * p_values[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

Curve running_minimum(const Curve& curve) {
  Curve lowest = curve;
  for (size_t i = 1; i < lowest.y.size(); ++i) lowest.y[i] = std::min(lowest.y[i], lowest.y[i - 1]);
  return lowest;
}

std::optional<double> value_at(const Curve& curve, double x, Scale scale) {
  if (curve.x.empty() || x < curve.x.front() || x > curve.x.back()) return std::nullopt;
  const size_t after = static_cast<size_t>(std::lower_bound(curve.x.begin(), curve.x.end(), x) - curve.x.begin());
  if (curve.x[after] == x) return curve.y[after];
  const double fraction = fraction_of(curve.x[after - 1], curve.x[after], x, scale);
  return curve.y[after - 1] + fraction * (curve.y[after] - curve.y[after - 1]);
}

std::optional<double> first_crossing(const Curve& curve, double level, Scale scale) {
  const Curve lowest = running_minimum(curve);
  if (lowest.x.empty() || lowest.y.front() < level) return std::nullopt;
  if (lowest.y.front() == level) return lowest.x.front();
  for (size_t i = 1; i < lowest.x.size(); ++i) {
    if (lowest.y[i] > level) continue;
    return along(lowest.x[i - 1], lowest.x[i], (lowest.y[i - 1] - level) / (lowest.y[i - 1] - lowest.y[i]), scale);
  }
  return std::nullopt;
}

std::optional<double> last_intersection(const Curve& a, const Curve& b, Scale scale) {
  std::vector<double> at;
  for (const Curve* curve : {&a, &b}) at.insert(at.end(), curve->x.begin(), curve->x.end());
  std::sort(at.begin(), at.end());
  std::optional<double> found;
  double previous_x = 0, previous = 0;  // the last point where the curves differed
  for (const double x : at) {
    const auto value_a = value_at(a, x, scale), value_b = value_at(b, x, scale);
    if (!value_a || !value_b || *value_a == *value_b) continue;
    const double difference = *value_a - *value_b;
    if (previous * difference < 0) found = along(previous_x, x, previous / (previous - difference), scale);
    previous_x = x;
    previous = difference;
  }
  return found;
}

std::vector<CostRatioPoint> cost_ratio_curve(std::span<const Curve> a, std::span<const Curve> b, int points, Scale scale,
                                             double confidence) {
  assert(a.size() == b.size());
  double high = kInfinity, low = -kInfinity;
  for (const std::span<const Curve> arm : {a, b}) {
    for (const Curve& curve : arm) {
      if (curve.y.empty()) return {};
      high = std::min(high, curve.y.front());
      low = std::max(low, *std::min_element(curve.y.begin(), curve.y.end()));
    }
  }
  std::vector<CostRatioPoint> ratios;
  if (a.empty() || !(high > low)) return ratios;
  for (int i = 0; i < points; ++i) {
    // Denser towards the low end: there a curve spends most of its cost.
    const double above = 1 - static_cast<double>(i) / (points - 1);
    const double level = low + (high - low) * above * above;
    std::vector<double> cost_a, cost_b;
    for (size_t seed = 0; seed < a.size(); ++seed) {
      const auto in_a = first_crossing(a[seed], level, scale), in_b = first_crossing(b[seed], level, scale);
      if (!in_a || !in_b) break;
      cost_a.push_back(*in_a);
      cost_b.push_back(*in_b);
    }
    if (cost_a.size() == a.size()) ratios.push_back({level, paired_ratio(cost_b, cost_a, confidence)});
  }
  return ratios;
}

FinalRatio cost_ratio_at_final(std::span<const Curve> a, std::span<const Curve> b, Scale scale, double confidence) {
  assert(a.size() == b.size());
  FinalRatio result{.seeds = static_cast<int>(a.size())};
  std::vector<double> cost_a, cost_b;
  for (size_t seed = 0; seed < a.size(); ++seed) {
    if (a[seed].y.empty()) continue;
    const double level = running_minimum(a[seed]).y.back();
    const auto in_a = first_crossing(a[seed], level, scale), in_b = first_crossing(b[seed], level, scale);
    if (!in_a || !in_b) continue;
    cost_a.push_back(*in_a);
    cost_b.push_back(*in_b);
  }
  result.reached = static_cast<int>(cost_a.size());
  if (result.reached == result.seeds && result.seeds > 0) result.ratio = paired_ratio(cost_b, cost_a, confidence);
  return result;
}

double mutual_information(std::span<const double> counts, int rows, int columns) {
  const Margins m = margins(counts, rows, columns);
  double bits = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] <= 0) continue;
    const double product = m.row[i / static_cast<size_t>(columns)] * m.column[i % static_cast<size_t>(columns)];
    bits += counts[i] / m.total * std::log2(counts[i] * m.total / product);
  }
  return bits;
}

double mutual_information_miller_madow(std::span<const double> counts, int rows, int columns) {
  const Margins m = margins(counts, rows, columns);
  if (m.total <= 0) return 0;
  const double cells = (occupied(m.row) - 1) + (occupied(m.column) - 1) - (occupied(counts) - 1);
  return mutual_information(counts, rows, columns) + cells / (2 * m.total * std::log(2.0));
}

double mutual_information_chance(std::span<const double> counts, int rows, int columns) {
  const Margins m = margins(counts, rows, columns);
  const double degrees = (occupied(m.row) - 1) * (occupied(m.column) - 1);
  if (m.total <= 0 || degrees <= 0) return 0;
  // Quantile of χ² by Wilson and Hilferty's cube root of a normal: within 1 % from one degree on.
  constexpr double kNormal95 = 1.6448536269514722;
  const double root = 1 - 2 / (9 * degrees) + kNormal95 * std::sqrt(2 / (9 * degrees));
  return (degrees * root * root * root - degrees) / (2 * m.total * std::log(2.0));
}

}  // namespace gamut
