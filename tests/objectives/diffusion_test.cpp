// Masked diffusion: what is hidden, how often, with what weight, and that the loss bounds the likelihood.
#include <gtest/gtest.h>

#include "objectives/objective.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int32_t kMask = 12;
const Component kDiffusion{"masked_diffusion", {{"specials", {kMask}}}};

TEST(MaskedDiffusion, HidesWithTheRowsProbabilityAndWeighsByItsInverse) {
  const auto objective = build_objective(kDiffusion);
  constexpr int64_t kRows = 400, kLength = 50;
  const std::vector<int32_t> text = random_ids(kRows * kLength, 12);
  const Example e = objective->example({kRows, kLength, text, text}, {.seed = 3});
  double hidden = 0, expected = 0, weighted = 0;
  for (int64_t b = 0; b < kRows; ++b)
    for (int64_t t = 0; t < kLength; ++t) {
      const auto i = static_cast<size_t>(b * kLength + t);
      const double p = 0.999 * e.times[static_cast<size_t>(b)] + 0.001;
      EXPECT_NEAR(e.weights[i], 1 / p, 1e-5 / p);
      expected += p;
      if (e.labels[i] < 0) {
        EXPECT_EQ(e.ids[i], text[i]);
        continue;
      }
      EXPECT_EQ(e.ids[i], kMask);
      EXPECT_EQ(e.labels[i], text[i]);
      ++hidden;
      weighted += e.weights[i];
    }
  EXPECT_NEAR(hidden / expected, 1, 0.02);
  EXPECT_NEAR(weighted / static_cast<double>(kRows * kLength), 1, 0.05);  // Σ 1/p over hidden is one a token in expectation
  std::vector<float> times = e.times;
  std::sort(times.begin(), times.end());
  for (size_t i = 1; i < times.size(); ++i) EXPECT_LT(times[i] - times[i - 1], 3.0 / kRows) << "times must fill the interval evenly";
}

TEST(MaskedDiffusion, ARowsChanceDoesNotDependOnTheBatch) {
  const auto objective = build_objective(kDiffusion);
  const std::vector<int32_t> text = random_ids(6 * 9, 12);
  const Example whole = objective->example({6, 9, text, text}, {.seed = 3, .first_row = 10});
  const std::span<const int32_t> rest = std::span(text).subspan(4 * 9);
  const Example part = objective->example({2, 9, rest, rest}, {.seed = 3, .first_row = 14}), cut = whole.slice(4, 2);
  EXPECT_EQ(part.ids, cut.ids);
  EXPECT_EQ(part.labels, cut.labels);
  EXPECT_EQ(part.weights, cut.weights);
  EXPECT_NE(part.ids, objective->example({2, 9, rest, rest}, {.seed = 4, .first_row = 14}).ids);
}

TEST(MaskedDiffusion, PlacesWithoutTextArePadding) {
  const auto objective = build_objective(kDiffusion);
  const std::vector<int32_t> text{1, 2, 3, -1, 4, 5, 6, 7};
  const Example e = objective->example({2, 4, text, text}, {});
  EXPECT_EQ(e.mask, (std::vector<uint8_t>{1, 1, 1, 0, 1, 1, 1, 1}));
  EXPECT_EQ(objective->weight(e), 7);
  EXPECT_LT(e.labels[3], 0);
}

// Two tokens: the expected loss is that of both orders of writing, and not below the negative logarithm of their mean probability.
TEST(MaskedDiffusion, BoundsTheLikelihoodOfAToyText) {
  ThreadPool pool(1);
  ModelSpec spec = tiny_spec();
  spec.objective = kDiffusion;
  TinyModel tiny(spec, pool);
  const auto log_p = [&](std::vector<int32_t> ids, int64_t place, int32_t token) {
    Tape tape(tiny.device, Tape::Mode::inference);
    ExampleRun run(tiny.model, {.tape = tape}, {.causal = false}, {.rows = 1, .length = 2, .ids = std::move(ids)});
    const Tensor logits = tiny.model.logits(run.pass(), run.hidden());
    double sum = 0;
    for (int64_t v = 0; v < 13; ++v) sum += std::exp(element(logits, place * 13 + v));
    return element(logits, place * 13 + token) - std::log(sum);
  };
  const double left_first = log_p({kMask, kMask}, 0, 3) + log_p({3, kMask}, 1, 7), right_first = log_p({kMask, kMask}, 1, 7) + log_p({kMask, 7}, 0, 3);
  const double orders = -(left_first + right_first) / 2, exact = -std::log((std::exp(left_first) + std::exp(right_first)) / 2);
  EXPECT_GE(orders, exact);

  constexpr int64_t kRows = 4000;
  std::vector<int32_t> text;
  for (int64_t i = 0; i < kRows; ++i) text.insert(text.end(), {3, 7});
  const auto objective = build_objective(kDiffusion);
  Tape tape(tiny.device, Tape::Mode::inference);
  const ops::HeadLoss loss = objective->loss(tiny.model, {.tape = tape}, objective->example({kRows, 2, text, text}, {}), 1.0 / kRows);
  EXPECT_NEAR(element(loss.loss, 0), orders, 0.05 * orders);
}

TEST(MaskedDiffusion, ShiftJudgesAPlaceByWhatTheOneBeforeSays) {
  ThreadPool pool(1);
  ModelSpec spec = tiny_spec();
  TinyModel tiny(spec, pool);
  const Example e{.rows = 2, .length = 3, .ids = {kMask, 5, kMask, 1, kMask, 2}, .labels = {4, -100, 6, -100, 9, -100}, .times = {0.5, 0.25}};
  Component shifted = kDiffusion;
  shifted.options["shift"] = true;
  const auto plain = build_objective(kDiffusion), shift = build_objective(shifted);
  Tape tape(tiny.device, Tape::Mode::inference);
  const ops::HeadLoss got = shift->loss(tiny.model, {.tape = tape}, shift->given(e), 1);
  Example moved = e;  // the same labels a place earlier, but for the first, which has none before it
  moved.labels = {-100, 6, -100, 9, -100, -100};
  const ops::HeadLoss want = plain->loss(tiny.model, {.tape = tape}, plain->given(moved), 1), first = plain->loss(tiny.model, {.tape = tape}, plain->given(e), 1);
  EXPECT_NEAR(element(got.token_N, 0), element(first.token_N, 0), 1e-12);
  EXPECT_NEAR(element(got.token_N, 2), element(want.token_N, 1), 1e-12);
  EXPECT_NEAR(element(got.token_N, 4), element(want.token_N, 3), 1e-12);
}

TEST(Prefix, OnlyTheRestBearsLossAndAllOfThePrefixIsSeen) {
  const auto objective = build_objective({"prefix"});
  const std::vector<int32_t> inputs = random_ids(200 * 6, 12), targets = random_ids(200 * 6, 12, 2);
  const Example e = objective->example({200, 6, inputs, targets}, {});
  std::vector<int> lengths(7);
  for (int64_t b = 0; b < 200; ++b) {
    const int32_t prefix = e.prefix[static_cast<size_t>(b)];
    ++lengths[static_cast<size_t>(prefix)];
    for (int64_t t = 0; t < 6; ++t) EXPECT_EQ(e.labels[static_cast<size_t>(b * 6 + t)], t + 1 < prefix ? -100 : targets[static_cast<size_t>(b * 6 + t)]);
  }
  for (int n = 1; n <= 5; ++n) EXPECT_GT(lengths[static_cast<size_t>(n)], 15) << n;

  ThreadPool pool(1);
  TinyModel tiny(tiny_spec(), pool);
  const auto hidden = [&](std::vector<int32_t> ids, std::vector<int32_t> prefix) {
    Tape tape(tiny.device, Tape::Mode::inference);
    ExampleRun run(tiny.model, {.tape = tape}, objective->sight(), {.rows = 1, .length = 5, .ids = std::move(ids), .prefix = std::move(prefix)});
    return elements(run.hidden());
  };
  const std::vector<double> before = hidden({1, 2, 3, 4, 5}, {3}), source = hidden({1, 2, 6, 4, 5}, {3}), target = hidden({1, 2, 3, 7, 5}, {3});
  EXPECT_NE(before[0], source[0]) << "the first position sees the end of the prefix";
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 3 * 8, target.begin())) << "the prefix saw what follows it";
}

}  // namespace
}  // namespace gamut
