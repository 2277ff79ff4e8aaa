// Measures of routing on choices made by hand, whose values are known.
#include "lab/routing_measures.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace gamut {
namespace {

TEST(RoutingMeasures, CoactivationCountsAllPairs) {
  const RouterChoices c{"r", 3, {0, 1, 2, 2, 0, 1, 0, 3, 1, 3, -1, -1}};
  const std::vector<double> m = coactivation(c, 4);
  const std::vector<double> expected{0, 1, 2. / 3, 1. / 3,  1, 0, 2. / 3, 1. / 3,  1, 1, 0, 0,  0.5, 0.5, 0, 0};
  ASSERT_EQ(m.size(), expected.size());
  for (size_t i = 0; i < m.size(); ++i) EXPECT_NEAR(m[i], expected[i], 1e-12) << i;
}

TEST(RoutingMeasures, OverlapIgnoresOrder) {
  const RouterChoices a{"r", 2, {0, 1, 2, 3, 4, 5}}, b{"r", 2, {1, 0, 3, 4, 6, 7}}, c{"r", 2, {0, -1, 2, 3, -1, -1}};
  EXPECT_EQ(overlap(a, a), 1);
  EXPECT_NEAR(overlap(a, b), 0.5, 1e-12);
  EXPECT_NEAR(overlap(a, c), 1, 1e-12);  // of what the second took, a token without experts counting as settled
  EXPECT_NEAR(overlap(c, a), 0.5, 1e-12);
}

// Four domains, each with two experts of its own: two bits. Labels without relation: about none, and no more than chance says.
TEST(RoutingMeasures, DomainsAgainstShuffledLabels) {
  constexpr int kTokens = 4000, kExperts = 8;
  const RandomStream stream(3, "test");
  RouterChoices own{"r", 2, {}}, any{"r", 2, {}};
  std::vector<int32_t> domain;
  for (uint64_t t = 0; t < kTokens; ++t) {
    domain.push_back(static_cast<int32_t>(stream.below(3 * t, 4)));
    own.index_Nk.insert(own.index_Nk.end(), {2 * domain.back(), 2 * domain.back() + 1});
    const auto first = static_cast<int32_t>(stream.below(3 * t + 1, kExperts));
    any.index_Nk.insert(any.index_Nk.end(), {first, (first + 1 + static_cast<int32_t>(stream.below(3 * t + 2, kExperts - 1))) % kExperts});
  }
  const Specialisation s = specialisation(own, kExperts, domain, 4, 20, 1), none = specialisation(any, kExperts, domain, 4, 20, 1);
  EXPECT_NEAR(s.information, 2, 0.01);
  EXPECT_LT(s.shuffled_high, 0.01);
  EXPECT_NEAR(s.share[1 * 8 + 3], 0.5, 1e-12);
  EXPECT_EQ(s.share[1 * 8 + 4], 0);
  EXPECT_NEAR(none.information, 0, 0.005);
  EXPECT_NEAR(none.shuffled, 0, 0.002);  // the correction takes the bias of small counts out
  EXPECT_GE(none.shuffled_high, none.shuffled);
}

// Experts follow the token's id, and ids the domain: the domain seems to decide, but given the id nothing is left. Where the domain decides by itself, it is.
TEST(RoutingMeasures, VocabularyIsNotDomain) {
  constexpr int kTokens = 6000, kExperts = 4;
  const RandomStream stream(4, "test");
  RouterChoices by_id{"r", 1, {}}, by_domain{"r", 1, {}};
  std::vector<int32_t> domain, id;
  for (uint64_t t = 0; t < kTokens; ++t) {
    domain.push_back(static_cast<int32_t>(stream.below(3 * t, 2)));
    id.push_back(static_cast<int32_t>(stream.below(3 * t + 1, 10)) < 8 ? domain.back() : 1 - domain.back());
    by_id.index_Nk.push_back(id.back());
    by_domain.index_Nk.push_back(domain.back());
  }
  const double entropy = -(0.8 * std::log2(0.8) + 0.2 * std::log2(0.2));
  EXPECT_NEAR(specialisation(by_id, kExperts, domain, 2, 5, 1).information, 1 - entropy, 0.03);
  const Specialisation left = specialisation_given_token(by_id, kExperts, domain, 2, id, 10, 20, 1);
  EXPECT_NEAR(left.information, 0, 1e-3);
  const Specialisation real = specialisation_given_token(by_domain, kExperts, domain, 2, id, 10, 20, 1);
  EXPECT_NEAR(real.information, entropy, 0.03);
  EXPECT_LT(real.shuffled_high, 0.01);
  EXPECT_TRUE(real.share.empty());
  // Rare ids are left out.
  EXPECT_EQ(specialisation_given_token(by_domain, kExperts, domain, 2, id, kTokens, 5, 1).information, 0);
}

}  // namespace
}  // namespace gamut
