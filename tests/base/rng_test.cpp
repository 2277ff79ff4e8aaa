#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace gamut {
namespace {

// Known answers of the authors' library (Random123, kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  using Block = std::array<uint32_t, 4>;
  constexpr uint32_t kOnes = 0xffffffffu;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, DependsOnSeedPurposeNameAndIndexOnly) {
  const RandomStream stream(1, "init", "layers.0.wq");
  EXPECT_EQ(stream.bits(5), RandomStream(1, "init", "layers.0.wq").bits(5));
  std::set<uint64_t> seen;
  for (const RandomStream& s : {stream, RandomStream(2, "init", "layers.0.wq"), RandomStream(1, "data", "layers.0.wq"), RandomStream(1, "init", "layers.0.wk"),
                                RandomStream(1, "initl", "ayers.0.wq")})
    for (uint64_t i = 0; i < 1000; ++i) seen.insert(s.bits(i));
  EXPECT_EQ(seen.size(), 5000u) << "no two streams share a value";
}

// Correlation of two streams' uniforms: standard deviation 1/sqrt(n), bound 6 of them; fixed seeds, so it cannot flake.
TEST(RandomStream, NamedStreamsAreIndependent) {
  constexpr uint64_t kCount = 20000;
  const RandomStream a(7, "init", "a"), b(7, "init", "b");
  double sum = 0;
  for (uint64_t i = 0; i < kCount; ++i) sum += (a.uniform(i) - 0.5) * (b.uniform(i) - 0.5) * 12;
  EXPECT_LT(std::abs(sum / kCount), 6 / std::sqrt(static_cast<double>(kCount)));
}

TEST(RandomStream, Moments) {
  constexpr uint64_t kCount = 100000;
  const RandomStream stream(3, "test", "moments");
  double mean = 0, square = 0, fourth = 0, uniform = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = stream.normal(i), u = stream.uniform(i);
    ASSERT_TRUE(std::isfinite(x));
    ASSERT_TRUE(u >= 0 && u < 1);
    mean += x;
    square += x * x;
    fourth += x * x * x * x;
    uniform += u;
  }
  const double n = kCount, sigma = 1 / std::sqrt(n);
  EXPECT_NEAR(mean / n, 0, 5 * sigma);
  EXPECT_NEAR(square / n, 1, 5 * std::sqrt(2.0) * sigma);
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96.0) * sigma);
  EXPECT_NEAR(uniform / n, 0.5, 5 * sigma / std::sqrt(12.0));
}

TEST(RandomStream, BelowCoversEvenly) {
  const RandomStream stream(4, "test", "below");
  std::vector<int> count(7);
  for (uint64_t i = 0; i < 70000; ++i) ++count[stream.below(i, 7)];
  for (const int c : count) EXPECT_NEAR(c, 10000, 6 * std::sqrt(70000.0 / 7 * 6 / 7));
  EXPECT_EQ(stream.below(1, 1), 0u);
}

TEST(Permutation, IsABijectionOfAnySize) {
  for (const uint64_t n : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 63u, 64u, 65u, 1000u, 4096u, 4097u}) {
    const Permutation permutation(n, RandomStream(9, "shuffle", std::to_string(n)));
    std::vector<bool> hit(n);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t to = permutation(i);
      ASSERT_LT(to, n);
      ASSERT_FALSE(hit[to]) << n << ": " << to << " twice";
      hit[to] = true;
    }
  }
}

TEST(Permutation, ShufflesDifferentlyForEachStream) {
  const Permutation a(1000, RandomStream(1, "shuffle", "0")), b(1000, RandomStream(1, "shuffle", "1"));
  int fixed = 0, same = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    fixed += a(i) == i;
    same += a(i) == b(i);
  }
  EXPECT_LT(fixed, 10) << "one is expected of a random permutation";
  EXPECT_LT(same, 10);
}

}  // namespace
}  // namespace gamut
