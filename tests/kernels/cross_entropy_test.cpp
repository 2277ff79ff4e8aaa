#include "kernels/cross_entropy.h"

#include <cstring>

#include "kernels/ref/cross_entropy.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

template <class T> void check(int64_t vocab, double spread, double z) {
  using P = accumulator<T>;
  const int64_t rows = 4;
  const std::vector<int32_t> target{0, static_cast<int32_t>(vocab - 1), -100, static_cast<int32_t>(vocab / 2)};
  const auto logits = numbers<P>(rows * vocab, 1, -spread, spread);
  const P scale = P(0.25);
  std::vector<double> loss(4), lse(4), d(logits.size());
  ref::cross_entropy<double>({.rows = rows,
                              .vocab = vocab,
                              .logits_NV = logits.data(),
                              .target_N = target.data(),
                              .scale = 0.25,
                              .z = z,
                              .loss_N = loss.data(),
                              .lse_N = lse.data(),
                              .d_logits_NV = d.data()});
  for (const auto& c : cross_entropy<T>().runnable_here()) {
    const std::string what = std::string(c.name) + " vocab " + std::to_string(vocab);
    const Span<P> logits_s(logits, 1);
    Span<P> loss_s(rows), lse_s(rows), loss_alone(rows);
    Span<T> d_s(rows * vocab, 3);
    c.fn({.rows = rows,
          .vocab = vocab,
          .logits_NV = logits_s.data(),
          .target_N = target.data(),
          .scale = scale,
          .z = static_cast<P>(z),
          .loss_N = loss_s.data(),
          .lse_N = lse_s.data(),
          .d_logits_NV = d_s.data()});
    // ref adds the exponentials one after the other: its error grows with the vocabulary.
    const double sum_error = std::string(c.name) == "ref" ? 2e-7 + 4e-9 * static_cast<double>(vocab) : 4e-7;
    expect_close<float>(loss_s.values(), loss, 3e-7, sum_error + 2e-7 * spread, what + " loss");
    expect_close<float>(lse_s.values(), lse, 3e-7, sum_error, what + " lse");
    expect_close<T>(d_s.values(), d, 2e-6 + sum_error + 1e-6 * z * spread + 1e-7 * spread, 5e-8, what + " gradient");
    c.fn({.rows = rows,
          .vocab = vocab,
          .logits_NV = logits_s.data(),
          .target_N = target.data(),
          .scale = scale,
          .z = 0,
          .loss_N = loss_alone.data(),
          .lse_N = nullptr,
          .d_logits_NV = nullptr});
    EXPECT_TRUE(loss_alone.same_bits(loss_s)) << what << ": the loss must not depend on whether a gradient is wanted";
    if constexpr (sizeof(T) == 2) {  // the gradient at the beginning of every row of logits, exponentials kept in between
      Span<P> in_place(logits, 1);
      std::vector<P> room(static_cast<size_t>(vocab));
      c.fn({.rows = rows,
            .vocab = vocab,
            .logits_NV = in_place.data(),
            .target_N = target.data(),
            .scale = scale,
            .z = static_cast<P>(z),
            .loss_N = loss_alone.data(),
            .lse_N = lse_s.data(),
            .d_logits_NV = reinterpret_cast<T*>(in_place.data()),
            .d_stride = 2 * vocab,
            .exp_V = room.data()});
      Span<T> again(rows * vocab, 3);
      for (int64_t r = 0; r < rows; ++r) std::memcpy(static_cast<void*>(again.data() + r * vocab), in_place.data() + r * vocab, static_cast<size_t>(vocab) * sizeof(T));
      EXPECT_TRUE(again.same_bits(d_s)) << what << " in place";
      EXPECT_TRUE(loss_alone.same_bits(loss_s)) << what << " in place";
      expect_close<float>(lse_s.values(), lse, 3e-7, sum_error, what + " lse in place");
    } else {
      Span<float> in_place(logits, 1);
      c.fn({.rows = rows,
            .vocab = vocab,
            .logits_NV = in_place.data(),
            .target_N = target.data(),
            .scale = scale,
            .z = static_cast<P>(z),
            .loss_N = loss_s.data(),
            .lse_N = lse_s.data(),
            .d_logits_NV = in_place.data()});
      EXPECT_TRUE(in_place.same_bits(Span<float>(d_s.values()))) << what << " in place";
      expect_close<float>(lse_s.values(), lse, 3e-7, sum_error, what + " lse in place");
    }
  }
}

TEST(CrossEntropy, MatchesTheDefinitionOnEveryTier) {
  for (const int64_t vocab : row_lengths())
    if (vocab > 0)
      for (const double spread : {3.0, 60.0}) {
        check<float>(vocab, spread, 0);
        check<bf16>(vocab, spread, 1e-3);
      }
  for (const int64_t vocab : {512, 4099, 50257}) {
    check<float>(vocab, 8, 1e-3);
    check<bf16>(vocab, 8, 0);
  }
}

TEST(CrossEntropy, GradientIsTheDerivativeOfLossAndZTerm) {
  const int64_t rows = 2, vocab = 5;
  const std::vector<int32_t> target{3, 0};
  const auto logits = numbers<double>(rows * vocab, 1);
  const double z = 0.3, scale = 0.5;
  std::vector<double> loss(2), lse(2), d(logits.size());
  const auto total = [&](const std::vector<double>& x) {
    ref::cross_entropy<double>({.rows = rows,
                                .vocab = vocab,
                                .logits_NV = x.data(),
                                .target_N = target.data(),
                                .scale = scale,
                                .z = z,
                                .loss_N = loss.data(),
                                .lse_N = lse.data(),
                                .d_logits_NV = d.data()});
    return scale * (loss[0] + loss[1] + z * (lse[0] * lse[0] + lse[1] * lse[1]));
  };
  const auto numeric = numeric_gradient(logits, total);
  total(logits);
  expect_close<double>(d, numeric, 1e-7, 1e-9, "d_logits");
}

TEST(CrossEntropy, UniformLogitsGiveTheLogarithmOfTheVocabularyAndNanIsNotHidden) {
  for (const auto& c : cross_entropy<float>().runnable_here())
    for (const int64_t vocab : {1, 7, 300}) {
      std::vector<float> logits(static_cast<size_t>(vocab), 1e4f), loss(1);
      const int32_t target = 0;
      CrossEntropy<float> a{.rows = 1,
                            .vocab = vocab,
                            .logits_NV = logits.data(),
                            .target_N = &target,
                            .scale = 1,
                            .z = 0,
                            .loss_N = loss.data(),
                            .lse_N = nullptr,
                            .d_logits_NV = nullptr};
      c.fn(a);
      EXPECT_NEAR(loss[0], std::log(static_cast<double>(vocab)), 1e-3) << c.name;
      logits.back() = std::numeric_limits<float>::quiet_NaN();
      c.fn(a);
      EXPECT_TRUE(std::isnan(loss[0])) << c.name << " vocab " << vocab;
    }
}

}  // namespace
}  // namespace gamut::kernels
