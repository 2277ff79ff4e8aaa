#include "kernels/router.h"

#include <algorithm>
#include <set>

#include "kernels/ref/router.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

template <class P> struct Routed {
  Routed(int64_t rows, int64_t experts, int64_t k) : scores(rows * experts, 1), weight(rows * k, 1), index(rows * k, 1) {}
  Span<P> scores, weight;
  Span<int32_t> index;
};

template <class P>
Route<P> arguments(RouterScore score, GateNorm norm, double scale, int64_t rows, int64_t experts, int64_t k, const P* logits,
                   const P* bias, Routed<P>& out) {
  return {.score = score,
          .norm = norm,
          .scale = static_cast<P>(scale),
          .rows = rows,
          .experts = experts,
          .k = k,
          .logits_NE = logits,
          .bias_E = bias,
          .scores_NE = out.scores.data(),
          .index_Nk = out.index.data(),
          .weight_Nk = out.weight.data()};
}

struct Variation {
  double power = 1, epsilon = 1e-20, floor = 0;
  int64_t groups = 1, kept_groups = 1, group_best = 1;
  bool zero_outside = false;
  double spread = 4;  // of the logits
  template <class P> void apply(Route<P>& a) const {
    a.power = static_cast<P>(power);
    a.epsilon = static_cast<P>(epsilon);
    a.floor = static_cast<P>(floor);
    a.groups = groups;
    a.kept_groups = kept_groups;
    a.group_best = group_best;
    a.zero_outside = zero_outside;
  }
};

void check(RouterScore score, GateNorm norm, int64_t rows, int64_t experts, int64_t k, bool biased, bool extra, const Variation& variation = {}) {
  const double scale = norm == GateNorm::selected ? 2.5 : 1;
  const auto logits = numbers<float>(rows * experts, 1, -variation.spread, variation.spread), bias = numbers<float>(experts, 2, -0.5, 0.5);
  const auto d_weight = numbers<float>(rows * k, 3), d_scores = numbers<float>(rows * experts, 4),
             before = numbers<float>(rows * experts, 5);
  Routed<double> want(rows, experts, k);
  auto defined =
      arguments<double>(score, norm, scale, rows, experts, k, logits.data(), biased ? bias.data() : nullptr, want);
  variation.apply(defined);
  ref::route(defined);
  std::vector<double> d_logits = before;
  ref::route_backward<double>({.forward = defined,
                               .d_weight_Nk = d_weight.data(),
                               .d_scores_NE = extra ? d_scores.data() : nullptr,
                               .d_logits_NE = d_logits.data()});

  for (const auto& c : route<float>().runnable_here()) {
    const std::string what =
        std::string(c.name) + " experts " + std::to_string(experts) + " k " + std::to_string(k) + " rows " + std::to_string(rows);
    const Span<float> logits_s(logits, 1), bias_s(bias, 1);
    Routed<float> got(rows, experts, k);
    auto a = arguments<float>(score, norm, scale, rows, experts, k, logits_s.data(), biased ? bias_s.data() : nullptr, got);
    variation.apply(a);
    c.fn(a);
    ASSERT_EQ(got.index.values(), want.index.values()) << what;
    expect_close<float>(got.scores.values(), want.scores.values(), 1e-6, 0, what + " scores");
    expect_close<float>(got.weight.values(), want.weight.values(), 1.5e-6, 0, what + " weights");
    // The same choices given: the same bits.
    Routed<float> again(rows, experts, k);
    std::copy_n(got.index.data(), rows * k, again.index.data());
    auto given = a;
    given.chosen = true;
    given.scores_NE = again.scores.data();
    given.index_Nk = again.index.data();
    given.weight_Nk = again.weight.data();
    c.fn(given);
    EXPECT_EQ(again.index.values(), got.index.values()) << what;
    EXPECT_EQ(again.weight.values(), got.weight.values()) << what;
    for (const auto& b : route_backward<float>().runnable_here()) {
      const Span<float> d_weight_s(d_weight, 1), d_scores_s(d_scores, 3);
      Span<float> d_logits_s(before, 1);
      b.fn({.forward = a,
            .d_weight_Nk = d_weight_s.data(),
            .d_scores_NE = extra ? d_scores_s.data() : nullptr,
            .d_logits_NE = d_logits_s.data()});
      expect_close<float>(d_logits_s.values(), d_logits, 1e-6, 3e-6, what + " gradient " + b.name);
    }
  }
}

TEST(Router, MatchesTheDefinitionOnEveryTier) {
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus})
    for (const GateNorm norm : {GateNorm::none, GateNorm::selected})
      for (const bool flag : {false, true}) {
        for (const int64_t experts : {1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 512, 600})
          for (const int64_t k : {1, 2, 3, 8})
            if (k <= experts) check(score, norm, 5, experts, k, flag, !flag);
        for (const int64_t rows : {0, 1, 3, 15, 16, 17, 31, 32, 33, 100}) check(score, norm, rows, 8, 2, flag, flag);
      }
}

TEST(Router, GroupsAndNormsMatchTheDefinitionOnEveryTier) {
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus})
    for (const bool flag : {false, true}) {
      for (const int64_t best : {1, 2, 3, 32}) {
        check(score, GateNorm::selected, 37, 8, 3, flag, !flag, {.groups = 4, .kept_groups = 2, .group_best = best});
        check(score, GateNorm::none, 37, 160, 6, flag, !flag, {.groups = 8, .kept_groups = 3, .group_best = best});
        check(score, GateNorm::selected, 21, 256, 8, flag, !flag, {.groups = 8, .kept_groups = 4, .group_best = best});
        check(score, GateNorm::selected, 5, 600, 8, flag, !flag, {.groups = 600, .kept_groups = 9, .group_best = best});
        check(score, GateNorm::selected, 5, 12, 2, flag, !flag, {.groups = 12, .kept_groups = 2, .group_best = best});
      }
      check(score, GateNorm::selected, 37, 8, 3, flag, !flag, {.groups = 4, .kept_groups = 2, .group_best = 2, .zero_outside = true});
      check(score, GateNorm::none, 21, 160, 6, flag, !flag, {.groups = 8, .kept_groups = 2, .group_best = 3, .zero_outside = true});
      for (const double power : {0.5, 2.0, 3.0}) check(score, GateNorm::selected, 19, 9, 3, flag, !flag, {.power = power});
      check(score, GateNorm::selected, 19, 9, 3, flag, !flag, {.epsilon = 0.1});
      check(score, GateNorm::selected, 40, 9, 2, flag, !flag, {.epsilon = 0, .floor = score == RouterScore::softmax ? 0.8 : 1.7});
    }
}

// Far from 0 on both sides: as small as e^x, as large as x.
TEST(Router, RootsOfSoftplusKeepTheirPrecision) {
  for (const GateNorm norm : {GateNorm::none, GateNorm::selected}) check(RouterScore::sqrt_softplus, norm, 40, 9, 3, false, true, {.spread = 80});
}

// Eight logits in four groups of which two are kept. Group scores by the two largest scores + bias: .868941, 1.003256, 1.095115, 1.250262.
TEST(Router, GroupLimitedVectors) {
  const std::vector<double> logits{0, -1, 2, .5, -.5, 1.5, -2, 1}, bias{.1, 0, -.3, -.2, .85, -.95, .4, 0};
  struct Expected {
    RouterScore score;
    GateNorm norm;
    double scale;
    bool biased;
    int64_t best, k;
    std::vector<double> index, weight;
    bool zero_outside = false;
  };
  const Expected cases[] = {
      {RouterScore::sigmoid, GateNorm::selected, 2.5, true, 2, 3, {4, 7, 6}, {.768733, 1.488551, .242716}},
      {RouterScore::sigmoid, GateNorm::selected, 2.5, true, 2, 4, {4, 7, 6, 5}, {.461456, .893550, .145698, .999296}},
      {RouterScore::sigmoid, GateNorm::selected, 2.5, true, 2, 4, {4, 7, 6, 0}, {.546273, 1.057787, .172478, .723462}, true},
      {RouterScore::softmax, GateNorm::none, 1, false, 1, 3, {2, 5, 3}, {.402728, .244267, .089861}},
      {RouterScore::softmax, GateNorm::none, 16, false, 1, 3, {2, 5, 3}, {6.443654, 3.908274, 1.437774}},
      {RouterScore::softmax, GateNorm::selected, 1, false, 1, 3, {2, 5, 3}, {.546549, .331499, .121952}},
  };
  for (const Expected& test : cases)
    for (const auto& c : route<float>().runnable_here()) {
      const Span<float> logits_s(logits), bias_s(bias);
      Routed<float> got(1, 8, test.k);
      auto a = arguments<float>(test.score, test.norm, test.scale, 1, 8, test.k, logits_s.data(), test.biased ? bias_s.data() : nullptr, got);
      a.groups = 4;
      a.kept_groups = 2;
      a.group_best = test.best;
      a.zero_outside = test.zero_outside;
      c.fn(a);
      EXPECT_EQ(got.index.values(), test.index) << c.name;
      expect_close<float>(got.weight.values(), test.weight, 0, test.scale * 1e-6, c.name);
    }
}

TEST(Router, PublishedVectors) {
  const std::vector<double> logits{2, 1, 0, -1, 0, .5, 1, 1.5, 1, 3, 2, 0};
  const std::vector<double> index{0, 1, 3, 2, 1, 2};
  for (const auto& c : route<float>().runnable_here())
    for (const GateNorm norm : {GateNorm::none, GateNorm::selected}) {
      const Span<float> logits_s(logits);
      Routed<float> got(3, 4, 2);
      c.fn(arguments<float>(RouterScore::softmax, norm, 1, 3, 4, 2, logits_s.data(), nullptr, got));
      EXPECT_EQ(got.index.values(), index) << c.name;
      const std::vector<double> want = norm == GateNorm::none
                                           ? std::vector<double>{.643914, .236883, .455054, .276004, .643914, .236883}
                                           : std::vector<double>{.731059, .268941, .622459, .377541, .731059, .268941};
      expect_close<float>(got.weight.values(), want, 0, 1e-6, std::string(c.name) + " weights");
      const std::vector<double> mean{.277532, .349401, .200010, .173057};
      for (int64_t e = 0; e < 4; ++e)
        EXPECT_NEAR((got.scores[e] + got.scores[4 + e] + got.scores[8 + e]) / 3, mean[static_cast<size_t>(e)], 1e-6) << c.name;
    }
}

TEST(Router, PublishedGradients) {
  struct Case {
    RouterScore score;
    GateNorm norm;
    double scale;
    std::vector<double> d_logits;
  };
  const Case cases[] = {{RouterScore::softmax, GateNorm::selected, 1, {.294918, -.294918, 0, 0}},
                        {RouterScore::softmax, GateNorm::none, 1, {.305555, -.242917, -.045792, -.016846}},
                        {RouterScore::sigmoid, GateNorm::selected, 2.5, {.110788, -.249957, 0, 0}}};
  const std::vector<double> logits{2, 1, 0, -1}, d_weight{1, -.5};
  for (const Case& test : cases)
    for (const auto& forward : route<float>().runnable_here())
      for (const auto& backward : route_backward<float>().runnable_here()) {
        const Span<float> logits_s(logits), d_weight_s(d_weight);
        Routed<float> got(1, 4, 2);
        const auto a = arguments<float>(test.score, test.norm, test.scale, 1, 4, 2, logits_s.data(), nullptr, got);
        forward.fn(a);
        Span<float> d_logits(std::vector<double>(4, 0.0));
        backward.fn({.forward = a, .d_weight_Nk = d_weight_s.data(), .d_scores_NE = nullptr, .d_logits_NE = d_logits.data()});
        expect_close<float>(d_logits.values(), test.d_logits, 0, 1e-6, std::string(forward.name) + " then " + backward.name);
      }
}

TEST(Router, BackwardIsTheDerivative) {
  const int64_t rows = 2, experts = 5, k = 2;
  const auto logits = numbers<double>(rows * experts, 8), d_weight = numbers<double>(rows * k, 2),
             d_scores = numbers<double>(rows * experts, 3);
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus})
    for (const GateNorm norm : {GateNorm::none, GateNorm::selected}) {
      Routed<double> out(rows, experts, k);
      const auto loss = [&](const std::vector<double>& x) {
        ref::route(arguments<double>(score, norm, 1.7, rows, experts, k, x.data(), nullptr, out));
        return dot(out.weight.values(), d_weight) + dot(out.scores.values(), d_scores);
      };
      const auto numeric = numeric_gradient(logits, loss);
      loss(logits);
      std::vector<double> d_logits(logits.size());
      ref::route_backward<double>({.forward = arguments<double>(score, norm, 1.7, rows, experts, k, logits.data(), nullptr, out),
                                   .d_weight_Nk = d_weight.data(),
                                   .d_scores_NE = d_scores.data(),
                                   .d_logits_NE = d_logits.data()});
      expect_close<double>(d_logits, numeric, 1e-6, 1e-8, "d_logits");
    }
}

TEST(Router, TiedGroupsAndExpertsGoToTheLowest) {
  const std::vector<double> logits(12, 1);
  for (const auto& c : route<float>().runnable_here()) {
    const Span<float> logits_s(logits);
    Routed<float> got(1, 12, 4);
    auto a = arguments<float>(RouterScore::sigmoid, GateNorm::selected, 1, 1, 12, 4, logits_s.data(), nullptr, got);
    a.groups = 4;
    a.kept_groups = 2;
    a.group_best = 2;
    c.fn(a);
    EXPECT_EQ(got.index.values(), (std::vector<double>{0, 1, 2, 3})) << c.name;
  }
}

TEST(Router, TiesGoToTheLowestIndexAndBiasOnlySelects) {
  const std::vector<double> logits{1, 1, 1, 1, 1, 1}, bias{0, 0, 0, 0.5, 0, 0.25};
  for (const auto& c : route<float>().runnable_here()) {
    const Span<float> logits_s(logits), bias_s(bias);
    Routed<float> tied(1, 6, 3), biased(1, 6, 3);
    c.fn(arguments<float>(RouterScore::softmax, GateNorm::selected, 1, 1, 6, 3, logits_s.data(), nullptr, tied));
    EXPECT_EQ(tied.index.values(), (std::vector<double>{0, 1, 2})) << c.name;
    c.fn(arguments<float>(RouterScore::softmax, GateNorm::selected, 1, 1, 6, 3, logits_s.data(), bias_s.data(), biased));
    EXPECT_EQ(biased.index.values(), (std::vector<double>{3, 5, 0})) << c.name;
    expect_close<float>(biased.weight.values(), std::vector<double>(3, 1.0 / 3), 1e-6, 0, c.name);
  }
}

TEST(Router, HostileLogitsStillSelectDistinctExperts) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::vector<double>> rows{{nan, nan, nan, nan}, {-inf, -inf, -inf, -inf},  {inf, 1, inf, nan},
                                              {1, nan, 2, 3},       {-200, -300, -200, -1000}, {3e38, -3e38, 0, 1}};
  for (const auto& c : route<float>().runnable_here())
    for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus})
      for (const auto& logits : rows) {
        const Span<float> logits_s(logits);
        Routed<float> got(1, 4, 3);
        c.fn(arguments<float>(score, GateNorm::selected, 1, 1, 4, 3, logits_s.data(), nullptr, got));
        const auto index = got.index.values();
        EXPECT_EQ(std::set<double>(index.begin(), index.end()).size(), 3u) << c.name;
        for (const double e : index) EXPECT_TRUE(e >= 0 && e < 4) << c.name;
        const bool finite = std::all_of(logits.begin(), logits.end(), [](double x) { return std::isfinite(x); });
        for (const double w : got.weight.values()) EXPECT_TRUE(!finite || std::isfinite(w)) << c.name;
      }
}

// Far below zero the sigmoid is the exponential: this is also the test of its stated accuracy, 2.4e-7 and one rounding.
TEST(Router, SigmoidAndExponentialAreAccurate) {
  const int64_t n = 20000;
  for (const auto& [low, high] : {std::pair{-87.0, -17.0}, std::pair{-17.0, 88.0}}) {
    const auto x = numbers<float>(n, 21, low, high);
    for (const auto& c : route<float>().runnable_here()) {
      const Span<float> x_s(x);
      Routed<float> got(n, 1, 1);
      c.fn(arguments<float>(RouterScore::sigmoid, GateNorm::none, 1, n, 1, 1, x_s.data(), nullptr, got));
      double worst = 0;
      for (int64_t i = 0; i < n; ++i)
        worst = std::max(worst, std::abs(static_cast<double>(got.scores[i]) * (1 + std::exp(-x[static_cast<size_t>(i)])) - 1));
      EXPECT_LT(worst, low < -50 ? 2.4e-7 + 1.2e-7 : 4e-7) << c.name;
    }
  }
}

TEST(Router, RowsDoNotDependOnTheirNeighbours) {
  const int64_t rows = 37, experts = 9, k = 3;
  const auto logits = numbers<float>(rows * experts, 1);
  for (const auto& c : route<float>().runnable_here()) {
    const Span<float> logits_s(logits);
    Routed<float> together(rows, experts, k);
    c.fn(arguments<float>(RouterScore::softmax, GateNorm::selected, 1, rows, experts, k, logits_s.data(), nullptr, together));
    for (int64_t n = 0; n < rows; ++n) {
      Routed<float> alone(1, experts, k);
      c.fn(arguments<float>(RouterScore::softmax, GateNorm::selected, 1, 1, experts, k, logits_s.data() + n * experts, nullptr,
                            alone));
      EXPECT_EQ(std::memcmp(alone.weight.data(), together.weight.data() + n * k, static_cast<size_t>(k) * 4), 0) << c.name;
      EXPECT_EQ(std::memcmp(alone.scores.data(), together.scores.data() + n * experts, static_cast<size_t>(experts) * 4), 0)
          << c.name;
    }
  }
}

}  // namespace
}  // namespace gamut::kernels
