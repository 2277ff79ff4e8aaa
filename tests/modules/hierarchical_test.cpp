// Routers of two levels against plain computations from their weights; and the orthogonal start.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/rowwise.h"
#include "router_bench.h"

namespace gamut {
namespace {

constexpr int64_t kTokens = 24, kWidth = 8;
using Rows = std::vector<std::vector<double>>;  // of tokens

// A router of eight experts in four groups, its weights random.
struct Bench : RouterBench {
  explicit Bench(int64_t k, Json options, Tape::Mode mode = Tape::Mode::training)
      : RouterBench(8, k, (options.update({{"kind", "hierarchical"}, {"groups", 4}}), options), 1, mode) {
    for (Parameter& p : parameters.all()) {
      std::vector<double> values(static_cast<size_t>(p.value.elements()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = 0.5 * RandomStream(3, "weights", p.name).normal(i);
      set(p.name.c_str(), values);
    }
  }
  // x·Wᵀ of a parameter.
  Rows product(const char* name) {
    const Tensor w = parameters.find(name)->value;
    Rows rows(kTokens);
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t i = 0; i < w.rows(); ++i) {
        const double *from = x.data<double>() + t * kWidth, *by = w.data<double>() + i * kWidth;
        rows[static_cast<size_t>(t)].push_back(std::inner_product(from, from + kWidth, by, 0.0));
      }
    return rows;
  }
};

double softplus(double v) { return std::log1p(std::exp(v)); }
double normal_below(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }

// Indices of the k largest of `n` numbers.
std::vector<size_t> largest(const double* v, size_t n, size_t k) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return v[a] > v[b]; });
  order.resize(k);
  return order;
}

// e^v of the chosen over their sum, or over everybody's.
std::vector<double> softmax_of(const double* v, size_t n, const std::vector<size_t>& chosen, bool of_all = false) {
  double sum = 0;
  std::vector<double> p;
  for (size_t i = 0; i < n; ++i) sum += of_all || std::find(chosen.begin(), chosen.end(), i) != chosen.end() ? std::exp(v[i]) : 0;
  for (const size_t i : chosen) p.push_back(std::exp(v[i]) / sum);
  return p;
}

// Logits with noise of the router's stream.
Rows noisy(Bench& b, const char* name, const char* purpose) {
  Rows h = b.product(name);
  const Rows spread = b.product((std::string(name) + "_noise").c_str());
  const RandomStream stream(5, purpose, "r");
  for (size_t t = 0; t < h.size(); ++t)
    for (size_t i = 0; i < h[t].size(); ++i) h[t][i] += stream.normal(t * h[t].size() + i) * (softplus(spread[t][i]) + 0.01);
  return h;
}

// Two of four groups and one of two experts in each, or both: the products of the levels' gates, of which a single one is not normalised.
void expect_choices(const ops::Routing& r, const Rows& groups, const Rows& experts, size_t inner_k) {
  const size_t k = 2 * inner_k;
  for (size_t t = 0; t < groups.size(); ++t) {
    const std::vector<size_t> outer = largest(groups[t].data(), 4, 2);
    const std::vector<double> share = softmax_of(groups[t].data(), 4, outer);
    for (size_t i = 0; i < 2; ++i) {
      const double* h = experts[t].data() + 2 * outer[i];
      const std::vector<size_t> inner = largest(h, 2, inner_k);
      const std::vector<double> within = softmax_of(h, 2, inner, inner_k == 1);
      for (size_t j = 0; j < inner_k; ++j) {
        const auto slot = static_cast<int64_t>(t * k + i * inner_k + j);
        ASSERT_EQ(r.index_Nk.data<int32_t>()[slot], static_cast<int32_t>(2 * outer[i] + inner[j])) << "token " << t;
        ASSERT_NEAR(element(r.weight_Nk, slot), share[i] * within[j], 1e-12) << "token " << t;
      }
    }
  }
}

TEST(HierarchicalRouter, GatesAreProductsAndNoiseIsOfTrainingAlone) {
  for (const int64_t k : {2, 4}) {
    for (const char* noise : {"learned", "none"}) {
      Bench later(k, {{"noise", noise}}, Tape::Mode::inference);
      expect_choices(later.route(), later.product("r.router_groups"), later.product("r.router"), static_cast<size_t>(k / 2));
      EXPECT_EQ(later.tape.total_loss(), 0);
    }
    Bench quiet(k, {{"noise", "none"}});
    expect_choices(quiet.route(), quiet.product("r.router_groups"), quiet.product("r.router"), static_cast<size_t>(k / 2));
    Bench bench(k, Json::object());
    expect_choices(bench.route(), noisy(bench, "r.router_groups", "router_groups noise"), noisy(bench, "r.router", "router noise"), static_cast<size_t>(k / 2));
  }
}

// Everything starts at zero, as at one level; noise alone tells experts apart.
TEST(HierarchicalRouter, StartsAtZero) {
  RouterBench bench(8, 2, {{"kind", "hierarchical"}, {"groups", 4}});
  for (const char* name : {"r.router_groups", "r.router_groups_noise", "r.router", "r.router_noise"})
    EXPECT_EQ(elements(bench.parameters.find(name)->value), std::vector<double>(static_cast<size_t>(bench.parameters.find(name)->value.elements())));
  const ops::Routing r = bench.route();
  EXPECT_GT(std::count_if(r.load_E.data<int32_t>(), r.load_E.data<int32_t>() + 8, [](int32_t n) { return n > 0; }), 4);
}

// Importance: the sums of the products. Load: of a group's tokens the share that each of its experts is likely to have, times the group's load.
TEST(HierarchicalRouter, ImportanceAndLoad) {
  Bench bench(2, {{"importance_loss", 0.5}, {"load_loss", 0.25}});
  const ops::Routing r = bench.route();
  std::vector<double> importance(8), first(4), within(8), tokens(4), load(8);
  for (int64_t s = 0; s < 2 * kTokens; ++s) importance[static_cast<size_t>(r.index_Nk.data<int32_t>()[s])] += element(r.weight_Nk, s);
  // Chosen again under a new draw for i, the others' as they are: it must pass the k-th largest of the others.
  const auto likely = [](const std::vector<double>& clean, const std::vector<double>& spread, const std::vector<double>& h, size_t from, size_t n, size_t k,
                         size_t i) {
    std::vector<double> others;
    for (size_t j = 0; j < n; ++j)
      if (j != i) others.push_back(h[from + j]);
    std::sort(others.rbegin(), others.rend());
    return normal_below((clean[from + i] - others[k - 1]) / (softplus(spread[from + i]) + 0.01));
  };
  const Rows outer = bench.product("r.router_groups"), outer_spread = bench.product("r.router_groups_noise"),
             outer_noisy = noisy(bench, "r.router_groups", "router_groups noise"), inner = bench.product("r.router"),
             inner_spread = bench.product("r.router_noise"), inner_noisy = noisy(bench, "r.router", "router noise");
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t g = 0; g < 4; ++g) first[g] += likely(outer[t], outer_spread[t], outer_noisy[t], 0, 4, 2, g);
    for (const size_t g : largest(outer_noisy[t].data(), 4, 2)) {
      ++tokens[g];
      for (size_t j = 0; j < 2; ++j) within[2 * g + j] += likely(inner[t], inner_spread[t], inner_noisy[t], 2 * g, 2, 1, j);
    }
  }
  for (size_t e = 0; e < 8; ++e) load[e] = first[e / 2] * within[e] / tokens[e / 2];
  const auto squared = [](const std::vector<double>& v) { return ops::squared_variation(v, false).value; };
  EXPECT_NEAR(bench.tape.total_loss(), 0.5 * squared(importance) + 0.25 * squared(load), 1e-12);
  EXPECT_GT(squared(load), 1e-3);
}

// A first group gives two experts, a second one; what does not count takes none.
TEST(HierarchicalRouter, GShardAtBothLevels) {
  Bench bench(3, {{"gating", "gshard"}, {"second", "all"}, {"balance_loss", 0.5}});
  const Tensor counted = bench.tape.empty({kTokens}, DType::u8);
  for (int64_t t = 0; t < kTokens; ++t) counted.data<uint8_t>()[t] = t % 5 != 4;
  const ops::Routing r = bench.route(counted);
  const Rows groups = bench.product("r.router_groups"), experts = bench.product("r.router");
  double tokens = 0, f[4] = {}, p[4] = {}, inner_f[8] = {}, inner_p[8] = {};
  for (size_t t = 0; t < kTokens; ++t) {
    const int32_t* chosen = r.index_Nk.data<int32_t>() + 3 * t;
    if (t % 5 == 4) {
      EXPECT_EQ(std::count(chosen, chosen + 3, -1), 3) << "padding";
      continue;
    }
    const std::vector<size_t> outer = largest(groups[t].data(), 4, 2);
    const std::vector<double> share = softmax_of(groups[t].data(), 4, outer);
    const double *h = experts[t].data() + 2 * outer[0], *other = experts[t].data() + 2 * outer[1];
    const std::vector<size_t> two = largest(h, 2, 2);
    const std::vector<double> within = softmax_of(h, 2, two);
    const std::vector<size_t> expected{2 * outer[0] + two[0], 2 * outer[0] + two[1], 2 * outer[1] + largest(other, 2, 1)[0]};
    const std::vector<double> gates{share[0] * within[0], share[0] * within[1], share[1]};
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(chosen[j], static_cast<int32_t>(expected[j])) << "token " << t;
      EXPECT_NEAR(element(r.weight_Nk, static_cast<int64_t>(3 * t + j)), gates[j], 3e-9) << "divided by the sum + 1e-9";
    }
    ++tokens;
    ++f[outer[0]];
    ++inner_f[expected[0]];
    for (size_t g = 0; g < 4; ++g) p[g] += softmax_of(groups[t].data(), 4, {g}, true)[0];
    for (size_t j = 0; j < 2; ++j) inner_p[2 * outer[0] + j] += softmax_of(h, 2, {j}, true)[0];
  }
  double balance = 0;
  for (size_t g = 0; g < 4; ++g) {
    balance += 4 * f[g] / tokens * p[g] / tokens;
    for (size_t e = 2 * g; e < 2 * g + 2 && f[g] > 0; ++e) balance += 2 * inner_f[e] / f[g] * inner_p[e] / f[g] / 4;
  }
  EXPECT_NEAR(r.balance, balance, 1e-12);
  EXPECT_NEAR(bench.tape.total_loss(), 0.5 * balance, 1e-12);
}

// Second choices stay where their gate passes five draws of ten, a fifth or more always.
TEST(HierarchicalRouter, SecondChoicesStayAtRandom) {
  Bench all(3, {{"gating", "gshard"}, {"second", "all"}}), mesh(3, {{"gating", "gshard"}}), later(3, {{"gating", "gshard"}}, Tape::Mode::inference);
  const ops::Routing r = all.route(), s = mesh.route();
  int64_t dropped = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    const double g1 = element(r.weight_Nk, 3 * t), g2 = element(r.weight_Nk, 3 * t + 1), g3 = element(r.weight_Nk, 3 * t + 2);
    const double u2 = RandomStream(5, "second choice", "r").uniform(static_cast<uint64_t>(t)),
                 u3 = RandomStream(5, "second group", "r").uniform(static_cast<uint64_t>(t));
    const int32_t *a = r.index_Nk.data<int32_t>() + 3 * t, *b = s.index_Nk.data<int32_t>() + 3 * t;
    EXPECT_EQ(b[0], a[0]);
    EXPECT_EQ(b[1], u2 < g2 / (g1 + g2) / 0.2 ? a[1] : -1) << "token " << t;
    EXPECT_EQ(b[2], u3 < g3 / 0.2 ? a[2] : -1) << "token " << t;
    dropped += (b[1] < 0) + (b[2] < 0);
  }
  EXPECT_GT(dropped, 0);
  const ops::Routing after = later.route();
  EXPECT_TRUE(std::equal(r.index_Nk.data<int32_t>(), r.index_Nk.data<int32_t>() + 3 * kTokens, after.index_Nk.data<int32_t>()));
}

TEST(HierarchicalRouter, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Bench(2, {{"gating", "gshard"}}), Error) << "two groups of two and one";
  EXPECT_THROW(Bench(3, Json::object()), Error) << "three of two groups";
  EXPECT_THROW(Bench(2, {{"noise", "none"}, {"load_loss", 0.1}}), Error);
  EXPECT_THROW(Bench(3, {{"gating", "gshard"}, {"noise", "learned"}}), Error);
  EXPECT_THROW(Bench(8, {{"group_k", 4}, {"load_loss", 0.1}}), Error);
}

// W·Wᵀ = 0.01·1 where rows are as few as columns; where they are more, Wᵀ·W.
TEST(OrthogonalStart, RowsOrColumnsAreOrthogonal) {
  for (const int64_t experts : {3, 8, 11}) {
    RouterBench bench(experts, 1, {{"kind", "base"}}), other(experts, 1, {{"kind", "base"}}, 2);
    const std::vector<double> w = elements(bench.parameters.find("r.router")->value);
    EXPECT_NE(w, elements(other.parameters.find("r.router")->value));
    const bool rows = experts <= kWidth;
    const int64_t count = rows ? experts : kWidth, length = rows ? kWidth : experts, step = rows ? 1 : kWidth;
    for (int64_t a = 0; a < count; ++a)
      for (int64_t b = 0; b < count; ++b) {
        double product = 0;
        for (int64_t i = 0; i < length; ++i)
          product += w[static_cast<size_t>((rows ? a * kWidth : a) + i * step)] * w[static_cast<size_t>((rows ? b * kWidth : b) + i * step)];
        EXPECT_NEAR(product, a == b ? 0.01 : 0, 1e-9) << experts << " experts, " << a << " and " << b;
      }
  }
}

}  // namespace
}  // namespace gamut
