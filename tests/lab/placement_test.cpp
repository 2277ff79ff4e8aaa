// Placement of experts on devices: numbers of the published method, and what holds for any load.
#include "lab/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/rng.h"

namespace gamut {
namespace {

const PlacementOptions kPublished{.replicas = 16, .groups = 4, .nodes = 2, .devices = 8};

TEST(Placement, PublishedNumbers) {
  EXPECT_EQ(place_experts(std::vector<double>{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86}, kPublished).expert_R,
            (std::vector<int32_t>{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1}));
  EXPECT_EQ(place_experts(std::vector<double>{20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27}, kPublished).expert_R,
            (std::vector<int32_t>{7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}));
}

TEST(Placement, ByHand) {
  EXPECT_EQ(packed_evenly(std::vector<double>{1, 9, 3, 3, 5, 5}, 2), (std::vector<int64_t>{1, 2, 0, 4, 5, 3}));  // 9+3+1, 5+5+3
  EXPECT_EQ(packed_evenly(std::vector<double>{1, 9, 3}, 3), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(replicated(std::vector<double>{4, 10, 4}, 6), (std::vector<int64_t>{0, 1, 2, 1, 1, 0}));  // 10, 5 > 4, then 4 = 4
  const Placement p = place_experts(std::vector<double>{6, 2}, {.replicas = 4, .devices = 2});
  EXPECT_EQ(p.copies_E, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(p.load_D, (std::vector<double>{4, 4}));
  EXPECT_EQ(p.imbalance, 0);
}

// Every expert has a place, devices are equally full, groups stay on one node, loads add up; copies make the fullest device no fuller than experts in
// their order without any would.
TEST(Placement, AnyLoad) {
  struct Case {
    int64_t experts;
    PlacementOptions options;
  };
  for (const Case& c : {Case{12, kPublished}, Case{64, {.replicas = 96, .groups = 8, .nodes = 4, .devices = 32}},
                        Case{64, {.replicas = 64, .groups = 8, .nodes = 2, .devices = 8}}, Case{9, {.replicas = 12, .groups = 3, .nodes = 2, .devices = 4}},
                        Case{8, {.replicas = 24, .devices = 8}}})
    for (uint64_t seed = 1; seed <= 50; ++seed) {
      const RandomStream stream(seed, "load");
      std::vector<double> load;
      for (int64_t e = 0; e < c.experts; ++e) load.push_back(std::exp(2 * stream.normal(static_cast<uint64_t>(e))));
      const PlacementOptions& o = c.options;
      const Placement p = place_experts(load, o);
      ASSERT_EQ(static_cast<int64_t>(p.expert_R.size()), o.replicas);
      ASSERT_EQ(static_cast<int64_t>(p.load_D.size()), o.devices);
      EXPECT_GE(*std::min_element(p.copies_E.begin(), p.copies_E.end()), 1);
      EXPECT_EQ(std::accumulate(p.copies_E.begin(), p.copies_E.end(), int64_t{0}), o.replicas);
      const double total = std::accumulate(load.begin(), load.end(), 0.0);
      EXPECT_NEAR(std::accumulate(p.load_D.begin(), p.load_D.end(), 0.0), total, 1e-9 * total);
      if (o.groups % o.nodes == 0) {
        std::vector<std::set<int64_t>> nodes(static_cast<size_t>(o.groups));
        for (int64_t r = 0; r < o.replicas; ++r)
          nodes[static_cast<size_t>(p.expert_R[static_cast<size_t>(r)] / (c.experts / o.groups))].insert(r / (o.replicas / o.nodes));
        for (const auto& seen : nodes) EXPECT_EQ(seen.size(), 1u);
      }
      const double fullest = *std::max_element(p.load_D.begin(), p.load_D.end());
      EXPECT_NEAR(p.imbalance, fullest * static_cast<double>(o.devices) / total - 1, 1e-12);
      if (c.experts % o.devices != 0) continue;
      double plain = 0;
      for (int64_t d = 0, each = c.experts / o.devices; d < o.devices; ++d)
        plain = std::max(plain, std::accumulate(load.begin() + d * each, load.begin() + (d + 1) * each, 0.0));
      EXPECT_LE(fullest, plain * (1 + 1e-12)) << "seed " << seed;
    }
}

// More places, shares no larger: the heaviest copy never grows.
TEST(Placement, MorePlacesNeverMakeACopyHeavier) {
  std::vector<double> load{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
  double before = 1e9;
  for (const int64_t replicas : {12, 16, 24, 48}) {
    const Placement p = place_experts(load, {.replicas = replicas, .devices = 4});
    double heaviest = 0;
    for (size_t e = 0; e < load.size(); ++e) heaviest = std::max(heaviest, load[e] / static_cast<double>(p.copies_E[e]));
    EXPECT_LT(heaviest, before);
    before = heaviest;
  }
}

TEST(Placement, RefusesWhatDoesNotFit) {
  const std::vector<double> load(12, 1);
  EXPECT_THROW(place_experts(load, {.replicas = 8, .devices = 4}), Error);
  EXPECT_THROW(place_experts(load, {.replicas = 14, .devices = 4}), Error);
  EXPECT_THROW(place_experts(load, {.replicas = 16, .groups = 5, .devices = 4}), Error);
  EXPECT_THROW(place_experts(load, {.replicas = 16, .nodes = 3, .devices = 4}), Error);
  EXPECT_THROW(place_experts({}, {.replicas = 4, .devices = 4}), Error);
  EXPECT_EQ(place_experts(std::vector<double>(4, 0.0), {.replicas = 4, .devices = 2}).imbalance, 0);
}

}  // namespace
}  // namespace gamut
