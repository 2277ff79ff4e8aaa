#include "kernels/adamw.h"

#include "kernels/ref/adamw.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

TEST(AdamW, MatchesTheDefinitionOnEveryTier) {
  for (const int64_t n : row_lengths()) {
    const auto w = numbers<float>(n, 1), g = numbers<float>(n, 2), m = numbers<float>(n, 3), v = numbers<float>(n, 4, 0, 4);
    auto w_d = w, g_d = g, m_d = m, v_d = v;
    const AdamW<float> f{.n = n,
                         .w = nullptr,
                         .g = nullptr,
                         .m = nullptr,
                         .v = nullptr,
                         .lr = 1e-2f,
                         .beta1 = 0.9f,
                         .beta2 = 0.95f,
                         .eps = 1e-8f,
                         .decay = 0.1f,
                         .clip = 0.5f,
                         .c1 = 0.271f,
                         .c2 = 0.142625f};
    ref::adamw<double>({.n = n,
                        .w = w_d.data(),
                        .g = g_d.data(),
                        .m = m_d.data(),
                        .v = v_d.data(),
                        .lr = f.lr,
                        .beta1 = f.beta1,
                        .beta2 = f.beta2,
                        .eps = f.eps,
                        .decay = f.decay,
                        .clip = f.clip,
                        .c1 = f.c1,
                        .c2 = f.c2});
    for (const auto& c : adamw<float>().runnable_here()) {
      Span<float> w_s(w, 1), g_s(g, 2), m_s(m, 3), v_s(v, 1);
      AdamW<float> a = f;
      a.w = w_s.data(), a.g = g_s.data(), a.m = m_s.data(), a.v = v_s.data();
      c.fn(a);
      const std::string what = std::string(c.name) + " n=" + std::to_string(n);
      expect_close<float>(w_s.values(), w_d, 3e-7, 2e-8, what + " w");
      expect_close<float>(m_s.values(), m_d, 4e-7, 1e-7, what + " m");
      expect_close<float>(v_s.values(), v_d, 4e-7, 0, what + " v");
      expect_close<float>(g_s.values(), std::vector<double>(static_cast<size_t>(n), 0.0), 0, 0, what + " g");
    }
  }
}

// One step by hand from zero moments: m/c1 = g and v/c2 = g², so w moves by lr·g/(|g| + ε) after the decay.
TEST(AdamW, FirstStepMovesByTheLearningRate) {
  for (const auto& c : adamw<double>().runnable_here()) {
    double w = 2, g = -0.3, m = 0, v = 0;
    c.fn({.n = 1,
          .w = &w,
          .g = &g,
          .m = &m,
          .v = &v,
          .lr = 0.1,
          .beta1 = 0.9,
          .beta2 = 0.99,
          .eps = 0.05,
          .decay = 0.5,
          .clip = 1,
          .c1 = 0.1,
          .c2 = 0.01});
    EXPECT_NEAR(w, 2 * (1 - 0.05) + 0.1 * 0.3 / (0.3 + 0.05), 1e-12) << c.name;
    EXPECT_EQ(g, 0) << c.name;
  }
}

}  // namespace
}  // namespace gamut::kernels
