#include "kernels/norm.h"

#include "kernels/ref/norm.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

struct Forward {
  std::vector<double> sum, out, mean, inv;
};

// The definition in double, on inputs already rounded to T.
Forward defined_forward(NormKind kind, int64_t rows, int64_t d, double eps, const std::vector<double>& s,
                        const std::vector<double>& gain, const std::vector<double>& bias) {
  Forward f{s, std::vector<double>(s.size()), std::vector<double>(static_cast<size_t>(rows)),
            std::vector<double>(static_cast<size_t>(rows))};
  ref::norm_forward<double>({.kind = kind,
                             .rows = rows,
                             .d = d,
                             .eps = eps,
                             .x_ND = s.data(),
                             .y_ND = nullptr,
                             .gain_D = gain.empty() ? nullptr : gain.data(),
                             .bias_D = bias.empty() ? nullptr : bias.data(),
                             .sum_ND = nullptr,
                             .out_ND = f.out.data(),
                             .mean_N = f.mean.data(),
                             .inv_N = f.inv.data()});
  return f;
}

template <class T> void check_forward(NormKind kind, int64_t d, bool with_y, bool with_gain) {
  using P = accumulator<T>;
  const int64_t rows = 3, shift = d % 3;
  const auto x = numbers<T>(rows * d, 1), y = numbers<T>(rows * d, 2), gain = numbers<P>(with_gain ? d : 0, 3),
             bias = numbers<P>(with_gain ? d : 0, 4);
  std::vector<double> s = x;
  if (with_y)
    for (size_t i = 0; i < s.size(); ++i) {
      if constexpr (sizeof(T) == 2)
        s[i] = static_cast<double>(T(static_cast<float>(x[i] + y[i])));
      else
        s[i] = static_cast<double>(static_cast<T>(x[i] + y[i]));
    }
  const bool layer = kind == NormKind::layer;
  const Forward want = defined_forward(kind, rows, d, 1e-6, s, gain, layer ? bias : std::vector<double>());
  for (const auto& c : norm_forward<T>().runnable_here()) {
    const std::string what = std::string(c.name) + (layer ? " layer d=" : " rms d=") + std::to_string(d) + (with_y ? " y" : "");
    const Span<T> x_s(x, shift), y_s(y, 1);
    const Span<P> gain_s(gain, 1), bias_s(bias, 2);
    Span<T> sum(rows * d, shift), out(rows * d, 3);
    Span<P> mean(rows), inv(rows);
    c.fn({.kind = kind,
          .rows = rows,
          .d = d,
          .eps = 1e-6,
          .x_ND = x_s.data(),
          .y_ND = with_y ? y_s.data() : nullptr,
          .gain_D = with_gain ? gain_s.data() : nullptr,
          .bias_D = with_gain && layer ? bias_s.data() : nullptr,
          .sum_ND = with_y ? sum.data() : nullptr,
          .out_ND = out.data(),
          .mean_N = mean.data(),
          .inv_N = inv.data()});
    if (with_y) expect_close<float>(sum.values(), s, 0, 0, what + " sum");
    if (d == 0) continue;
    if (layer) expect_close<float>(mean.values(), want.mean, 1e-6, 1e-6, what + " mean");
    // A LayerNorm of one or two elements may divide a rounding error by a tiny deviation.
    const double amplified = layer ? 1e-6 * *std::max_element(want.inv.begin(), want.inv.end()) : 0;
    expect_close<float>(inv.values(), want.inv, 3e-6 + amplified, 0, what + " inv");
    expect_close<T>(out.values(), want.out, 3e-6 + amplified, 1e-6 + 2 * amplified, what + " out");
  }
}

TEST(Norm, ForwardMatchesTheDefinitionOnEveryTier) {
  for (const NormKind kind : {NormKind::rms, NormKind::layer})
    for (const int64_t d : row_lengths())
      for (const bool with_y : {false, true})
        for (const bool with_gain : {false, true}) {
          check_forward<float>(kind, d, with_y, with_gain);
          check_forward<bf16>(kind, d, with_y, with_gain);
        }
  check_forward<float>(NormKind::rms, 16384, true, true);
}

template <class T> void check_backward(NormKind kind, int64_t d, bool with_gain, bool with_residual) {
  using P = accumulator<T>;
  const int64_t rows = 4;
  const bool layer = kind == NormKind::layer;
  const auto s = numbers<T>(rows * d, 5), d_out = numbers<T>(rows * d, 6), d_sum = numbers<T>(rows * d, 7);
  const auto gain = numbers<P>(with_gain ? d : 0, 8), before = numbers<P>(d, 9);
  const Forward f = defined_forward(kind, rows, d, 1e-2, s, gain, {});
  std::vector<double> dx(s.size()), d_gain = before, d_bias = before;
  ref::norm_backward<double>({.kind = kind,
                              .rows = rows,
                              .d = d,
                              .sum_ND = s.data(),
                              .gain_D = with_gain ? gain.data() : nullptr,
                              .mean_N = f.mean.data(),
                              .inv_N = f.inv.data(),
                              .d_out_ND = d_out.data(),
                              .d_sum_ND = with_residual ? d_sum.data() : nullptr,
                              .dx_ND = dx.data(),
                              .d_gain_D = with_gain ? d_gain.data() : nullptr,
                              .d_bias_D = with_gain ? d_bias.data() : nullptr});
  for (const auto& c : norm_backward<T>().runnable_here()) {
    const std::string what = std::string(c.name) + (layer ? " layer d=" : " rms d=") + std::to_string(d);
    const Span<T> s_s(s, 1), d_out_s(d_out, 2), d_sum_s(d_sum, 3);
    const Span<P> gain_s(gain, 1), mean(f.mean), inv(f.inv);
    Span<T> dx_s(rows * d, 1);
    Span<P> d_gain_s(before, 3), d_bias_s(before, 1);
    c.fn({.kind = kind,
          .rows = rows,
          .d = d,
          .sum_ND = s_s.data(),
          .gain_D = with_gain ? gain_s.data() : nullptr,
          .mean_N = layer ? mean.data() : nullptr,
          .inv_N = inv.data(),
          .d_out_ND = d_out_s.data(),
          .d_sum_ND = with_residual ? d_sum_s.data() : nullptr,
          .dx_ND = dx_s.data(),
          .d_gain_D = with_gain ? d_gain_s.data() : nullptr,
          .d_bias_D = with_gain && layer ? d_bias_s.data() : nullptr});
    expect_close<T>(dx_s.values(), dx, 1e-5, 2e-5, what + " dx");
    expect_close<float>(d_gain_s.values(), d_gain, 1e-6, 4e-6, what + " d_gain");
    if (layer) expect_close<float>(d_bias_s.values(), d_bias, 1e-6, 4e-6, what + " d_bias");
  }
}

TEST(Norm, BackwardMatchesTheDefinitionOnEveryTier) {
  for (const NormKind kind : {NormKind::rms, NormKind::layer})
    for (const int64_t d : row_lengths())
      for (const bool with_gain : {false, true}) {
        check_backward<float>(kind, d, with_gain, !with_gain);
        check_backward<bf16>(kind, d, with_gain, with_gain);
      }
}

TEST(Norm, BackwardIsTheDerivative) {
  for (const NormKind kind : {NormKind::rms, NormKind::layer}) {
    const int64_t rows = 2, d = 7;
    const auto s = numbers<double>(rows * d, 1), gain = numbers<double>(d, 2), bias = numbers<double>(d, 3),
               g = numbers<double>(rows * d, 4);
    const auto b = kind == NormKind::layer ? bias : std::vector<double>();
    const auto loss = [&](const auto& x, const auto& w) { return dot(g, defined_forward(kind, rows, d, 1e-3, x, w, b).out); };
    const Forward f = defined_forward(kind, rows, d, 1e-3, s, gain, b);
    std::vector<double> dx(s.size()), d_gain(gain.size()), d_bias(gain.size());
    ref::norm_backward<double>({.kind = kind,
                                .rows = rows,
                                .d = d,
                                .sum_ND = s.data(),
                                .gain_D = gain.data(),
                                .mean_N = f.mean.data(),
                                .inv_N = f.inv.data(),
                                .d_out_ND = g.data(),
                                .d_sum_ND = nullptr,
                                .dx_ND = dx.data(),
                                .d_gain_D = d_gain.data(),
                                .d_bias_D = d_bias.data()});
    expect_close<double>(dx, numeric_gradient(s, [&](const auto& x) { return loss(x, gain); }), 1e-7, 1e-8, "dx");
    expect_close<double>(d_gain, numeric_gradient(gain, [&](const auto& w) { return loss(s, w); }), 1e-7, 1e-8, "d_gain");
  }
}

template <class T> void check_past_caches() {
  using P = accumulator<T>;
  constexpr int64_t kRows = 3, kWidth = 96, kAll = kRows * kWidth;
  const auto numbers_at = [](T* to, int seed) {
    const auto values = numbers<T>(kAll, seed);
    for (int64_t i = 0; i < kAll; ++i) to[i] = T(static_cast<P>(values[static_cast<size_t>(i)]));
  };
  alignas(64) T x[kAll], y[kAll], d_sum[kAll], sum[2][kAll], out[2][kAll], dx[2][kAll];
  P mean[kRows], inv[kRows];
  numbers_at(x, 1);
  numbers_at(y, 2);
  numbers_at(d_sum, 3);
  const auto forward = norm_forward<T>().runnable_here();
  const auto backward = norm_backward<T>().runnable_here();
  for (const NormKind kind : {NormKind::rms, NormKind::layer})
    for (size_t c = 0; c < forward.size(); ++c) {
      for (const bool past : {false, true}) {
        forward[c].fn({.kind = kind, .rows = kRows, .d = kWidth, .eps = 1e-5, .x_ND = x, .y_ND = y, .gain_D = nullptr, .bias_D = nullptr,
                       .sum_ND = sum[past], .out_ND = out[past], .mean_N = mean, .inv_N = inv, .past_caches = past});
        backward[c].fn({.kind = kind, .rows = kRows, .d = kWidth, .sum_ND = sum[0], .gain_D = nullptr, .mean_N = mean, .inv_N = inv, .d_out_ND = y,
                        .d_sum_ND = d_sum, .dx_ND = dx[past], .d_gain_D = nullptr, .d_bias_D = nullptr, .past_caches = past});
      }
      EXPECT_EQ(std::memcmp(sum[0], sum[1], sizeof sum[0]), 0) << forward[c].name;
      EXPECT_EQ(std::memcmp(out[0], out[1], sizeof out[0]), 0) << forward[c].name;
      EXPECT_EQ(std::memcmp(dx[0], dx[1], sizeof dx[0]), 0) << forward[c].name;
    }
}

TEST(Norm, WritingPastTheCachesChangesNoBit) {
  check_past_caches<float>();
  check_past_caches<bf16>();
}

TEST(Norm, RowsDoNotDependOnTheirNeighboursAndAliasingIsAllowed) {
  const int64_t rows = 5, d = 77;
  for (const auto& c : norm_forward<float>().runnable_here()) {
    const auto x = numbers<float>(rows * d, 1), y = numbers<float>(rows * d, 2);
    const Span<float> x_s(x), y_s(y);
    Span<float> sum(rows * d), out(rows * d), inv(rows);
    c.fn({.kind = NormKind::rms,
          .rows = rows,
          .d = d,
          .eps = 1e-5,
          .x_ND = x_s.data(),
          .y_ND = y_s.data(),
          .gain_D = nullptr,
          .bias_D = nullptr,
          .sum_ND = sum.data(),
          .out_ND = out.data(),
          .mean_N = nullptr,
          .inv_N = inv.data()});
    Span<float> in_place(x), alone(rows * d), one(1);
    for (int64_t n = 0; n < rows; ++n)
      c.fn({.kind = NormKind::rms,
            .rows = 1,
            .d = d,
            .eps = 1e-5,
            .x_ND = in_place.data() + n * d,
            .y_ND = y_s.data() + n * d,
            .gain_D = nullptr,
            .bias_D = nullptr,
            .sum_ND = in_place.data() + n * d,
            .out_ND = alone.data() + n * d,
            .mean_N = nullptr,
            .inv_N = one.data()});
    EXPECT_TRUE(out.same_bits(alone)) << c.name;
    EXPECT_TRUE(sum.same_bits(in_place)) << c.name;
  }
}

}  // namespace
}  // namespace gamut::kernels
