#include "kernels/rotary.h"

#include "kernels/ref/rotary.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

template <class T> void check(RotaryStyle style, bool inverse, int64_t head_dim, int64_t rotary_dim) {
  using P = accumulator<T>;
  const int64_t rows = 3, heads = 2, n = rows * heads * head_dim;
  const int32_t position[] = {4, 0, 2};
  const auto x = numbers<T>(n, 1), cos = numbers<P>(5 * rotary_dim / 2, 2, -1, 1), sin = numbers<P>(5 * rotary_dim / 2, 3, -1, 1);
  std::vector<double> want(x.size());
  ref::rotary<double>({.style = style,
                       .inverse = inverse,
                       .rows = rows,
                       .heads = heads,
                       .head_dim = head_dim,
                       .rotary = rotary_dim,
                       .position_N = position,
                       .cos_MR = cos.data(),
                       .sin_MR = sin.data(),
                       .x_NHK = x.data(),
                       .out_NHK = want.data()});
  for (const auto& c : rotary<T>().runnable_here()) {
    const std::string what =
        std::string(c.name) + " head_dim " + std::to_string(head_dim) + " rotary " + std::to_string(rotary_dim);
    const Span<P> cos_s(cos, 1), sin_s(sin, 2);
    const Span<T> x_s(x, 1);
    Span<T> out(n, 3), in_place(x, 1);
    Rotary<T> a{.style = style,
                .inverse = inverse,
                .rows = rows,
                .heads = heads,
                .head_dim = head_dim,
                .rotary = rotary_dim,
                .position_N = position,
                .cos_MR = cos_s.data(),
                .sin_MR = sin_s.data(),
                .x_NHK = x_s.data(),
                .out_NHK = out.data()};
    c.fn(a);
    expect_close<T>(out.values(), want, 2e-7, 5e-7, what);
    a.x_NHK = a.out_NHK = in_place.data();
    c.fn(a);
    EXPECT_TRUE(std::memcmp(in_place.data(), out.data(), static_cast<size_t>(n) * sizeof(T)) == 0) << what << " in place";
  }
}

TEST(Rotary, MatchesTheDefinitionOnEveryTier) {
  for (const RotaryStyle style : {RotaryStyle::half_split, RotaryStyle::interleaved})
    for (const bool inverse : {false, true})
      for (const int64_t head_dim : {2, 4, 6, 8, 15, 16, 17, 30, 32, 33, 34, 48, 64, 80, 96, 128})
        for (const int64_t left : {0, 2, 16})
          if (const int64_t rotated = head_dim / 2 * 2 - left; rotated >= 0) {
            check<float>(style, inverse, head_dim, rotated);
            check<bf16>(style, inverse, head_dim, rotated);
          }
}

TEST(Rotary, InverseUndoesTheRotation) {
  const int32_t position[] = {1};
  const double cos[] = {1, 1, 0.8, 0.28}, sin[] = {0, 0, 0.6, 0.96};
  const auto x = numbers<double>(4, 1);
  for (const RotaryStyle style : {RotaryStyle::half_split, RotaryStyle::interleaved}) {
    std::vector<double> there(4), back(4);
    Rotary<double> a{.style = style,
                     .inverse = false,
                     .rows = 1,
                     .heads = 1,
                     .head_dim = 4,
                     .rotary = 4,
                     .position_N = position,
                     .cos_MR = cos,
                     .sin_MR = sin,
                     .x_NHK = x.data(),
                     .out_NHK = there.data()};
    ref::rotary(a);
    // First pair rotated by hand: (a·cos − b·sin, b·cos + a·sin).
    const size_t second = style == RotaryStyle::interleaved ? 1 : 2;
    EXPECT_NEAR(there[0], x[0] * 0.8 - x[second] * 0.6, 1e-15);
    EXPECT_NEAR(there[second], x[second] * 0.8 + x[0] * 0.6, 1e-15);
    a.inverse = true, a.x_NHK = there.data(), a.out_NHK = back.data();
    ref::rotary(a);
    expect_close<double>(back, x, 0, 1e-15, "there and back");
  }
}

}  // namespace
}  // namespace gamut::kernels
