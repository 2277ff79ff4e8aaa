#include "lab/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"

namespace gamut {
namespace {

TEST(Statistics, MeanAndStandardDeviationByHand) {
  const std::vector<double> values{2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_DOUBLE_EQ(standard_deviation(values), std::sqrt(32.0 / 7));
  EXPECT_TRUE(std::isnan(standard_deviation(std::vector<double>{1})));
  EXPECT_TRUE(std::isnan(mean({})));
}

TEST(Statistics, IncompleteBetaClosedForms) {
  EXPECT_NEAR(incomplete_beta(1, 1, 0.3), 0.3, 1e-15);
  EXPECT_NEAR(incomplete_beta(2, 1, 0.3), 0.09, 1e-15);                            // x^a
  EXPECT_NEAR(incomplete_beta(1, 5, 0.3), 1 - std::pow(0.7, 5), 1e-15);            // 1 − (1 − x)^b
  EXPECT_NEAR(incomplete_beta(0.5, 0.5, 0.25), 2 / M_PI * std::asin(0.5), 1e-14);  // arcsine law
  EXPECT_NEAR(incomplete_beta(3, 7, 0.2) + incomplete_beta(7, 3, 0.8), 1, 1e-14);
  EXPECT_EQ(incomplete_beta(3, 7, 0), 0);
  EXPECT_EQ(incomplete_beta(3, 7, 1), 1);
}

TEST(Statistics, StudentQuantilesHaveTheirClosedForms) {
  // One degree: tan(π(p − ½)). Two degrees: (2p − 1) / √(2 p (1 − p)).
  EXPECT_NEAR(student_t_quantile(0.975, 1), std::tan(M_PI * 0.475), 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 2), 0.95 / std::sqrt(2 * 0.975 * 0.025), 1e-11);
  // Printed tables.
  EXPECT_NEAR(student_t_quantile(0.975, 4), 2.776445105, 1e-8);
  EXPECT_NEAR(student_t_quantile(0.95, 10), 1.812461123, 1e-8);
  EXPECT_NEAR(student_t_quantile(0.975, 1e7), 1.959964, 1e-5);
  EXPECT_EQ(student_t_quantile(0.5, 3), 0);
  EXPECT_NEAR(student_t_quantile(0.025, 4), -student_t_quantile(0.975, 4), 1e-12);
  for (const double p : {0.001, 0.2, 0.7, 0.9995}) {
    for (const double n : {1.0, 2.5, 9.0, 200.0}) EXPECT_NEAR(student_t_cdf(student_t_quantile(p, n), n), p, 1e-13);
  }
}

TEST(Statistics, PairedIntervalOfThreeSeeds) {
  // Differences 1, 2, 3: mean 2, s = 1, t(2) = 4.302652730, half width t/√3 = 2.484137712.
  const Interval interval = paired_difference(std::vector<double>{5, 7, 9}, std::vector<double>{4, 5, 6});
  EXPECT_DOUBLE_EQ(interval.estimate, 2);
  EXPECT_NEAR(interval.low, 2 - 2.484137712, 1e-8);
  EXPECT_NEAR(interval.high, 2 + 2.484137712, 1e-8);
  EXPECT_FALSE(interval.resolved(0));
  EXPECT_TRUE(interval.resolved(5));
  EXPECT_EQ(interval.n, 3);
}

TEST(Statistics, OneSeedResolvesNothing) {
  const Interval interval = paired_ratio(std::vector<double>{1}, std::vector<double>{2});
  EXPECT_DOUBLE_EQ(interval.estimate, 0.5);
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(interval.resolved(1));
}

TEST(Statistics, PairedRatioIsGeometric) {
  const Interval interval = paired_ratio(std::vector<double>{1, 4}, std::vector<double>{2, 2});
  EXPECT_DOUBLE_EQ(interval.estimate, 1);
  EXPECT_NEAR(interval.low * interval.high, 1, 1e-9);  // symmetric in the logarithm
}

TEST(Statistics, PairedTestAgreesWithItsInterval) {
  const std::vector<double> a{5, 7, 9}, b{4, 5, 6};
  const double t = 2 * std::sqrt(3.0);
  EXPECT_NEAR(paired_p_value(a, b), 1 - t / std::sqrt(2 + t * t), 1e-12);  // closed form for two degrees
  EXPECT_EQ(paired_p_value(a, a), 1);
  EXPECT_EQ(paired_p_value(std::vector<double>{1}, std::vector<double>{3}), 1);
  const double p = paired_p_value(a, b);
  EXPECT_TRUE(paired_difference(a, b, 1 - p - 1e-6).resolved(0));
  EXPECT_FALSE(paired_difference(a, b, 1 - p + 1e-6).resolved(0));
}

TEST(Statistics, HolmStepsDown) {
  const auto adjusted = holm(std::vector<double>{0.04, 0.01, 0.03, 0.6});
  EXPECT_DOUBLE_EQ(adjusted[1], 0.04);
  EXPECT_DOUBLE_EQ(adjusted[2], 0.09);
  EXPECT_DOUBLE_EQ(adjusted[0], 0.09);  // 2 × 0.04 = 0.08, but never below its predecessor
  EXPECT_DOUBLE_EQ(adjusted[3], 0.6);
  EXPECT_DOUBLE_EQ(holm(std::vector<double>{0.7, 0.9})[0], 1);
  EXPECT_TRUE(holm({}).empty());
}

TEST(Statistics, RunningMinimumAndFirstCrossing) {
  const Curve curve{{1, 10, 100, 1000}, {4, 2, 3, 1}};
  EXPECT_EQ(running_minimum(curve).y, (std::vector<double>{4, 2, 2, 1}));
  EXPECT_NEAR(*first_crossing(curve, 3, Scale::log), std::sqrt(10), 1e-12);
  EXPECT_NEAR(*first_crossing(curve, 3, Scale::linear), 5.5, 1e-12);
  EXPECT_NEAR(*first_crossing(curve, 2, Scale::log), 10, 1e-12);
  EXPECT_NEAR(*first_crossing(curve, 1.5, Scale::log), std::pow(10, 2.5), 1e-9);  // from the running minimum 2, not the bump 3
  EXPECT_DOUBLE_EQ(*first_crossing(curve, 4), 1);
  EXPECT_FALSE(first_crossing(curve, 5));    // below it from the start: when is unknown
  EXPECT_FALSE(first_crossing(curve, 0.5));  // never
  EXPECT_FALSE(first_crossing({}, 1));
}

TEST(Statistics, LastIntersection) {
  const Curve a{{1, 2, 3, 4}, {4, 3, 2, 1}};
  EXPECT_NEAR(*last_intersection(a, {{1, 4}, {3, 1.5}}, Scale::linear), 3, 1e-12);
  EXPECT_FALSE(last_intersection(a, {{1, 4}, {5, 2}}, Scale::linear));
  EXPECT_FALSE(last_intersection(a, {{5, 6}, {5, 2}}, Scale::linear));  // no common range
  EXPECT_FALSE(last_intersection(a, a, Scale::linear));
  EXPECT_FALSE(last_intersection(a, {{1, 2, 3, 4}, {5, 3, 3, 2}}, Scale::linear));  // touches without changing sides
  // Several crossings: the last.
  EXPECT_NEAR(*last_intersection({{0, 1, 2}, {0, 2, 0}}, {{0, 1, 2}, {1, 1, 1}}, Scale::linear), 1.5, 1e-12);
}

TEST(Statistics, CostRatioIsFoundAtEveryLevel) {
  // y = −log x; B is the same curve at 0.5 and 0.6 of the cost.
  const auto curve = [](double scale) {
    Curve c;
    for (int i = 0; i <= 20; ++i) {
      c.x.push_back(scale * std::pow(1.5, i));
      c.y.push_back(-i * std::log(1.5));
    }
    return c;
  };
  const std::vector<Curve> a{curve(1), curve(2)}, b{curve(0.5), curve(1.2)};
  const auto ratios = cost_ratio_curve(a, b, 11);
  ASSERT_EQ(ratios.size(), 11U);
  EXPECT_GT(ratios.front().level, ratios.back().level);
  EXPECT_NEAR(ratios.back().level, -20 * std::log(1.5), 1e-12);
  for (const auto& point : ratios) {
    EXPECT_NEAR(point.ratio.estimate, std::sqrt(0.5 * 0.6), 1e-9);
    EXPECT_EQ(point.ratio.n, 2);
  }
  const FinalRatio final_ratio = cost_ratio_at_final(a, b);
  ASSERT_TRUE(final_ratio.ratio);
  EXPECT_NEAR(final_ratio.ratio->estimate, std::sqrt(0.3), 1e-9);
  EXPECT_EQ(final_ratio.reached, 2);
}

TEST(Statistics, RatioIsAbsentUnlessEverySeedReaches) {
  const Curve a{{1, 10}, {4, 2}}, good{{1, 10}, {4, 1}}, bad{{1, 10}, {4, 3}};
  const FinalRatio some = cost_ratio_at_final(std::vector<Curve>{a, a}, std::vector<Curve>{good, bad});
  EXPECT_FALSE(some.ratio);
  EXPECT_EQ(some.reached, 1);
  EXPECT_EQ(some.seeds, 2);
  EXPECT_FALSE(cost_ratio_at_final({}, {}).ratio);
  // Levels that both cross exist all the same: 4 … 3.
  const auto ratios = cost_ratio_curve(std::vector<Curve>{a, a}, std::vector<Curve>{good, bad}, 5);
  ASSERT_EQ(ratios.size(), 5U);
  EXPECT_DOUBLE_EQ(ratios.back().level, 3);
  EXPECT_TRUE(cost_ratio_curve(std::vector<Curve>{a}, std::vector<Curve>{{{1, 2}, {9, 8}}}).empty());
}

TEST(Statistics, MutualInformationByHand) {
  EXPECT_DOUBLE_EQ(mutual_information(std::vector<double>{8, 0, 0, 8}, 2, 2), 1);
  EXPECT_DOUBLE_EQ(mutual_information(std::vector<double>{4, 4, 4, 4}, 2, 2), 0);
  // 3 1 / 1 3: 1 − H(¼) = 1 − 0.811278.
  EXPECT_NEAR(mutual_information(std::vector<double>{3, 1, 1, 3}, 2, 2), 0.188721875540867, 1e-12);
  // Correction: (1 + 1 − 3) / (2 · 8 · ln 2).
  EXPECT_NEAR(mutual_information_miller_madow(std::vector<double>{3, 1, 1, 3}, 2, 2),
              0.188721875540867 - 1 / (16 * std::log(2.0)), 1e-12);
  EXPECT_EQ(mutual_information_miller_madow(std::vector<double>{0, 0, 0, 0}, 2, 2), 0);
}

TEST(Statistics, ShuffledLabelsStayBelowChanceInNineteenOfTwenty) {
  // 2 × 3 tables with fixed margins, labels permuted: the share of corrected estimates above `chance` must be 5 %.
  const std::vector<double> counts{300, 40, 60, 50, 250, 100};
  const double chance = mutual_information_chance(counts, 2, 3);
  EXPECT_GT(mutual_information_miller_madow(counts, 2, 3), 10 * chance);
  std::vector<int> rows, columns;
  for (int cell = 0; cell < 6; ++cell)
    for (int n = 0; n < static_cast<int>(counts[static_cast<size_t>(cell)]); ++n) rows.push_back(cell / 3), columns.push_back(cell % 3);
  const RandomStream random(11, "shuffle");
  uint64_t counter = 0;
  constexpr int kDraws = 2000;
  double sum = 0;
  int above = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (size_t i = columns.size() - 1; i > 0; --i) std::swap(columns[i], columns[random.below(counter++, i + 1)]);
    std::vector<double> table(6);
    for (size_t i = 0; i < rows.size(); ++i) table[static_cast<size_t>(rows[i] * 3 + columns[i])] += 1;
    const double information = mutual_information_miller_madow(table, 2, 3);
    sum += information;
    above += information > chance;
  }
  EXPECT_NEAR(sum / kDraws, 0, 1e-4);  // without the correction (r − 1)(c − 1) / (2 N ln 2) = 1.8e-3
  EXPECT_NEAR(static_cast<double>(above) / kDraws, 0.05, 0.016);
  EXPECT_EQ(mutual_information_chance(std::vector<double>{0, 0}, 1, 2), 0);
  EXPECT_EQ(mutual_information_chance(std::vector<double>{5, 7, 0, 0}, 2, 2), 0);  // one label only: nothing to tell
}

}  // namespace
}  // namespace gamut
