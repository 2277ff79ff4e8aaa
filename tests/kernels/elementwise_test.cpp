#include "kernels/elementwise.h"

#include "kernels/ref/elementwise.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

// Every tier must give the same bits as ref: these kernels round each element once.
template <class T> void check(int64_t n) {
  using P = accumulator<T>;
  const auto a = numbers<T>(n, 1), b = numbers<T>(n, 2), p = numbers<P>(n, 3), third = numbers<T>(n, 4);
  const Span<T> a_s(a, 1), b_s(b, 2), third_s(third, 3);
  const Span<P> p_s(p, 1);
  const T* rows[] = {a_s.data(), b_s.data(), third_s.data()};
  const std::string size = " n=" + std::to_string(n);

  Span<T> added(n), rounded(n), summed(n), none(n);
  Span<P> widened(n), accumulated(p);
  ref::add(n, a_s.data(), b_s.data(), added.data());
  ref::from_parameter<T>(n, p_s.data(), rounded.data());
  ref::to_parameter<T>(n, a_s.data(), widened.data());
  ref::accumulate<T>(n, a_s.data(), accumulated.data());
  ref::sum_rows(3, rows, n, summed.data());
  ref::sum_rows<T>(0, rows, n, none.data());
  const auto same = [&](const auto& got, const auto& want, const char* name) {
    got.values();  // checks the guards
    EXPECT_TRUE(got.same_bits(want)) << name << size;
  };
  for (const auto& c : add<T>().runnable_here()) {
    Span<T> out(n, 3), in_place(a, 1);
    c.fn(n, a_s.data(), b_s.data(), out.data());
    c.fn(n, in_place.data(), b_s.data(), in_place.data());
    same(out, added, c.name), same(in_place, added, c.name);
  }
  for (const auto& c : from_parameter<T>().runnable_here()) {
    Span<T> out(n, 1);
    c.fn(n, p_s.data(), out.data());
    same(out, rounded, c.name);
  }
  for (const auto& c : to_parameter<T>().runnable_here()) {
    Span<P> out(n, 1);
    c.fn(n, a_s.data(), out.data());
    same(out, widened, c.name);
  }
  for (const auto& c : accumulate<T>().runnable_here()) {
    Span<P> out(p, 1);
    c.fn(n, a_s.data(), out.data());
    same(out, accumulated, c.name);
  }
  for (const auto& c : sum_rows<T>().runnable_here()) {
    Span<T> out(n, 1), zero(n, 1);
    c.fn(3, rows, n, out.data());
    c.fn(0, rows, n, zero.data());
    same(out, summed, c.name), same(zero, none, c.name);
  }
  for (const auto& c : sum_squares<P>().runnable_here()) {
    const double want = dot(p, p);
    EXPECT_NEAR(c.fn(n, p_s.data()), want, 1e-13 * want) << c.name << size;
  }
}

TEST(Elementwise, EveryTierGivesTheBitsOfTheReference) {
  for (const int64_t n : row_lengths()) {
    check<float>(n);
    check<bf16>(n);
  }
}

TEST(Elementwise, RoundingToBf16IsToNearestEvenForEveryUpperHalf) {
  const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  std::vector<float> x;
  for (uint32_t high = 0; high < 0x10000; ++high)
    for (const uint32_t l : low) x.push_back(std::bit_cast<float>(high << 16 | l));
  const int64_t n = static_cast<int64_t>(x.size());
  for (const auto& c : from_parameter<bf16>().runnable_here()) {
    std::vector<bf16> out(x.size());
    c.fn(n, x.data(), out.data());
    int64_t wrong = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const bool flushed = std::string(c.name) == "avx512_bf16" && std::fpclassify(x[i]) == FP_SUBNORMAL;
      wrong += out[i].bits != (flushed ? bf16(std::copysign(0.0f, x[i])).bits : bf16(x[i]).bits);
    }
    EXPECT_EQ(wrong, 0) << c.name;
  }
}

}  // namespace
}  // namespace gamut::kernels
