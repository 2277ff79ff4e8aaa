// Statistics of comparisons: paired intervals, curves and where they cross, mutual information.
//
// "Paired" means: one value per seed and arm, same data order in both arms. All intervals are two-sided.
// Functions of no or one observation return intervals of ±infinity, never a false certainty.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gamut {

double mean(std::span<const double> values);
// Sample standard deviation (n − 1); NaN below two values.
double standard_deviation(std::span<const double> values);

// Regularised incomplete beta function I_x(a, b), relative error about 1e-14 [Lentz's continued fraction, DLMF 8.17.22].
double incomplete_beta(double a, double b, double x);
// Student's t: P(T ≤ t) and its inverse for `degrees` > 0, found by bisection of the exact distribution to the last bit.
double student_t_cdf(double t, double degrees);
double student_t_quantile(double probability, double degrees);

struct Interval {
  double estimate = 0;
  double low = 0;
  double high = 0;
  int n = 0;  // observations (seeds) behind it
  // True when the interval lies wholly on one side of `neutral` (0 for differences, 1 for ratios).
  bool resolved(double neutral) const { return n > 1 && (high < neutral || low > neutral); }
};

// mean ± t(n − 1)·s/√n.
Interval mean_interval(std::span<const double> values, double confidence = 0.95);
// Interval of mean(a − b), paired by position. Sizes must agree.
Interval paired_difference(std::span<const double> a, std::span<const double> b, double confidence = 0.95);
// Interval of the geometric mean of a / b, paired by position: exp of the paired interval of log a − log b. Values must be
// positive.
Interval paired_ratio(std::span<const double> a, std::span<const double> b, double confidence = 0.95);
// Two-sided p value of the paired t test; 1 below two pairs.
double paired_p_value(std::span<const double> a, std::span<const double> b);

// Holm's step-down correction: adjusted p values in the order given [Holm 1979].
std::vector<double> holm(std::span<const double> p_values);

// Sample points of one run, costs ascending: y(x), for example validation bits per byte against tokens.
struct Curve {
  std::vector<double> x;
  std::vector<double> y;
};
enum class Scale { linear, log };

// y replaced by its smallest value so far.
Curve running_minimum(const Curve& curve);
// y at x by linear interpolation in x (or log x); nothing outside the curve's range.
std::optional<double> value_at(const Curve& curve, double x, Scale scale = Scale::log);
// Smallest x where the running minimum reaches `level` from above; nothing if it never does. A curve that starts at or below
// `level` has reached it before its first point: nothing as well, unless it starts exactly there.
std::optional<double> first_crossing(const Curve& curve, double level, Scale scale = Scale::log);
// Largest x where a − b changes sign: where the later leader took over. Nothing if one curve leads throughout (ties aside).
std::optional<double> last_intersection(const Curve& a, const Curve& b, Scale scale = Scale::log);

// What equal loss costs in arm B relative to arm A, all along the way: S(ℓ) = cost_B(ℓ) / cost_A(ℓ), curves of equal index paired
// by seed.
struct CostRatioPoint {
  double level;  // ℓ
  Interval ratio;
};
// At `points` levels (at least 2), descending and denser towards the end, from the highest to the lowest loss that every curve of
// both arms crosses. Empty if they share none.
std::vector<CostRatioPoint> cost_ratio_curve(std::span<const Curve> a, std::span<const Curve> b, int points = 40,
                                             Scale scale = Scale::log, double confidence = 0.95);
// At A's own final loss, seed by seed. `reached` counts the seeds in which B gets there; the ratio is absent unless all do.
struct FinalRatio {
  std::optional<Interval> ratio;
  int reached = 0;
  int seeds = 0;
};
FinalRatio cost_ratio_at_final(std::span<const Curve> a, std::span<const Curve> b, Scale scale = Scale::log,
                               double confidence = 0.95);

// Mutual information of two labels, in bits, from their joint counts [rows × columns, row-major].
double mutual_information(std::span<const double> counts, int rows, int columns);
// The same with the Miller–Madow bias correction of each entropy: + (occupied cells − 1) / (2 N ln 2). May be below 0.
double mutual_information_miller_madow(std::span<const double> counts, int rows, int columns);
// What the corrected estimate shows of independent labels: 2 N ln 2 · I is then χ² of (r − 1)(c − 1) degrees [Wilks], which the correction
// centres at 0. 95th percentile in bits; rows and columns that are empty do not count. 0 for no observation.
double mutual_information_chance(std::span<const double> counts, int rows, int columns);

}  // namespace gamut
