// Buckets and slopes against values worked out by hand.
#include "ops/relative_bias.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gamut::ops {
namespace {

// 32 buckets, distance 128 [T5]: exact up to 7 (both ways) or 15, then one bucket for each factor 16^(1/8), or 8^(1/16).
TEST(RelativeBias, BucketsWidenWithDistance) {
  for (int64_t d = 0; d < 8; ++d) {
    EXPECT_EQ(relative_bucket(-d, 32, 128, true), d);
    EXPECT_EQ(relative_bucket(d, 32, 128, true), d > 0 ? 16 + d : 0);
  }
  const std::pair<int64_t, int64_t> both_ways[] = {{8, 8}, {11, 8}, {12, 9}, {16, 10}, {22, 10}, {23, 11}, {32, 12}, {64, 14}, {90, 14}, {91, 15}, {128, 15}, {100000, 15}};
  for (const auto& [d, bucket] : both_ways) {
    EXPECT_EQ(relative_bucket(-d, 32, 128, true), bucket) << d;
    EXPECT_EQ(relative_bucket(d, 32, 128, true), 16 + bucket) << d;
  }
  const std::pair<int64_t, int64_t> one_way[] = {{0, 0}, {15, 15}, {16, 16}, {18, 16}, {19, 17}, {32, 21}, {64, 26}, {112, 30}, {113, 31}, {128, 31}, {5000, 31}};
  for (const auto& [d, bucket] : one_way) {
    EXPECT_EQ(relative_bucket(-d, 32, 128, false), bucket) << d;
    EXPECT_EQ(relative_bucket(d, 32, 128, false), 0) << d;
  }
}

TEST(RelativeBias, AlibiSlopesForAnyNumberOfHeads) {
  EXPECT_EQ(alibi_slopes(1), (std::vector<double>{std::exp2(-8)}));
  const std::vector<double> eight = alibi_slopes(8), twelve = alibi_slopes(12);
  for (int h = 0; h < 8; ++h) {
    EXPECT_DOUBLE_EQ(eight[static_cast<size_t>(h)], std::exp2(-(h + 1)));
    EXPECT_DOUBLE_EQ(twelve[static_cast<size_t>(h)], std::exp2(-(h + 1)));
  }
  for (int h = 0; h < 4; ++h) EXPECT_DOUBLE_EQ(twelve[static_cast<size_t>(8 + h)], std::exp2(-0.5 - h));
  EXPECT_EQ(twelve.size(), 12u);
}

TEST(RelativeBias, OccurringDistances) {
  const auto all = [](const Visibility& v) {
    const Distances d = occurring_distances(v, 5, 9, 4);
    return std::pair(d.low, d.high);
  };
  EXPECT_EQ(all({}), std::pair(int64_t{-8}, int64_t{0}));
  EXPECT_EQ(all({{.causal = false}}), std::pair(int64_t{-8}, int64_t{4}));
  EXPECT_EQ(all({{.window = 3}}), std::pair(int64_t{-2}, int64_t{0}));
  EXPECT_EQ(all({{.causal = false, .window = 3}}), std::pair(int64_t{-2}, int64_t{2}));
  EXPECT_EQ(all({{.block = 4}}), std::pair(int64_t{-8}, int64_t{3}));
  EXPECT_EQ(all({{.prefix = 1}}), std::pair(int64_t{-8}, int64_t{4}));
}

}  // namespace
}  // namespace gamut::ops
