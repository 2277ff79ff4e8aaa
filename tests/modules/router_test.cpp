// Routers against a plain computation from their own logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ops/capacity.h"
#include "ops/ffn.h"
#include "router_bench.h"

namespace gamut {
namespace {

constexpr int64_t kTokens = 24, kWidth = 8, kVocab = 13;

struct Plain {
  bool sigmoid = false, normalise = true;
  double scale = 1;
  std::vector<double> bias;
};

// Chooses and weighs as the equations say, row by row.
void expect_plain(RouterBench& bench, const ops::Routing& r, const Plain& plain) {
  const int64_t e = bench.experts_, k = bench.k_;
  std::vector<int64_t> load(static_cast<size_t>(e));
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<double> score(static_cast<size_t>(e)), selection;
    double partition = 0;
    for (int64_t i = 0; i < e; ++i) {
      const double logit = element(r.logits_NE, t * e + i);
      score[static_cast<size_t>(i)] = plain.sigmoid ? 1 / (1 + std::exp(-logit)) : std::exp(logit);
      partition += score[static_cast<size_t>(i)];
    }
    if (!plain.sigmoid)
      for (double& s : score) s /= partition;
    selection = score;
    for (size_t i = 0; i < plain.bias.size(); ++i) selection[i] += plain.bias[i];
    std::vector<int> order(static_cast<size_t>(e));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return selection[static_cast<size_t>(a)] > selection[static_cast<size_t>(b)]; });
    double chosen = 0;
    for (int64_t j = 0; j < k; ++j) chosen += score[static_cast<size_t>(order[static_cast<size_t>(j)])];
    for (int64_t j = 0; j < k; ++j) {
      const int expert = order[static_cast<size_t>(j)];
      ++load[static_cast<size_t>(expert)];
      ASSERT_EQ(r.index_Nk.data<int32_t>()[t * k + j], expert) << "token " << t << " slot " << j;
      const double gate = score[static_cast<size_t>(expert)] / (plain.normalise ? chosen : 1) * plain.scale;
      ASSERT_NEAR(element(r.weight_Nk, t * k + j), gate, 1e-12) << "token " << t << " slot " << j;
    }
  }
  for (int64_t i = 0; i < e; ++i) EXPECT_EQ(r.load_E.data<int32_t>()[i], load[static_cast<size_t>(i)]);
}

TEST(TopKRouter, SoftmaxNormalisedOverTheChosen) {
  RouterBench bench(6, 2, {{"scale", 2.0}});
  expect_plain(bench, bench.route(), {.scale = 2});
}

TEST(TopKRouter, SoftmaxNotNormalised) {
  RouterBench bench(6, 3, {{"normalise", false}});
  expect_plain(bench, bench.route(), {.normalise = false});
}

TEST(TopKRouter, Sigmoid) {
  RouterBench bench(6, 2, {{"score", "sigmoid"}, {"normalise", false}});
  expect_plain(bench, bench.route(), {.sigmoid = true, .normalise = false});
  RouterBench normalised(6, 2, {{"score", "sigmoid"}});
  expect_plain(normalised, normalised.route(), {.sigmoid = true});
}

// Of three groups of five experts the two whose three best sum highest, when six experts are chosen; with four chosen the sum is of two.
TEST(TopKRouter, GroupsScoredByTheirShareOfTheChoices) {
  const Json share = {{"score", "sigmoid"}, {"groups", 3}, {"kept_groups", 2}, {"group_score", "sum_share"}};
  RouterBench bench(15, 6, share);
  const ops::Routing r = bench.route();
  bool seen = false;  // a token of which the best single experts, or pairs, would keep other groups
  for (int64_t t = 0; t < kTokens; ++t) {
    double sum[3][4] = {};  // of the b best
    for (int64_t g = 0; g < 3; ++g) {
      std::vector<double> score;
      for (int64_t i = 0; i < 5; ++i) score.push_back(element(r.scores_NE, t * 15 + 5 * g + i));
      std::sort(score.rbegin(), score.rend());
      for (size_t b = 0; b < 3; ++b) sum[g][b + 1] = sum[g][b] + score[b];
    }
    const auto worst = [&](int b) {
      int64_t least = 0;
      for (int64_t g = 1; g < 3; ++g)
        if (sum[g][b] < sum[least][b]) least = g;
      return least;
    };
    seen |= worst(1) != worst(3) && worst(2) != worst(3);
    for (int64_t j = 0; j < 6; ++j) EXPECT_NE(r.index_Nk.data<int32_t>()[6 * t + j] / 5, worst(3)) << "token " << t;
  }
  EXPECT_TRUE(seen);
  Json two = share;
  two["group_score"] = "sum2";
  RouterBench four(15, 4, share), pairs(15, 4, two);
  const ops::Routing a = four.route(), b = pairs.route();
  EXPECT_TRUE(std::equal(a.index_Nk.data<int32_t>(), a.index_Nk.data<int32_t>() + 4 * kTokens, b.index_Nk.data<int32_t>()));
  EXPECT_THROW(RouterBench(15, 5, share), Error) << "five choices are no equal shares of two groups";
}

TEST(SwitchRouter, GateIsTheProbability) {
  RouterBench bench(5, 1, {{"kind", "switch"}});
  expect_plain(bench, bench.route(), {.normalise = false});
}

TEST(RandomRouter, RoutesByContentAndStaysFrozen) {
  RouterBench bench(6, 2, {{"kind", "random"}});
  expect_plain(bench, bench.route(), {});
  EXPECT_FALSE(bench.parameters.find("r.router")->trained);
  EXPECT_FALSE(bench.parameters.find("r.router")->value.needs_grad());
}

TEST(HashRouter, DependsOnTheTokenAlone) {
  RouterBench bench(7, 3, {{"kind", "hash"}, {"scale", 3.0}}), other(7, 3, {{"kind", "hash"}, {"scale", 3.0}}, 2);
  const ops::Routing r = bench.route(), s = other.route();
  EXPECT_TRUE(bench.parameters.all().empty());
  std::vector<std::vector<int32_t>> seen(kVocab);
  for (int64_t t = 0; t < kTokens; ++t) {
    const int32_t* row = r.index_Nk.data<int32_t>() + t * 3;
    std::vector<int32_t> experts(row, row + 3);
    EXPECT_TRUE(std::equal(row, row + 3, s.index_Nk.data<int32_t>() + t * 3)) << "other activations, other seed: the same experts";
    for (int64_t j = 0; j < 3; ++j) EXPECT_EQ(element(r.weight_Nk, t * 3 + j), 1.0);
    auto& before = seen[static_cast<size_t>(bench.ids.data<int32_t>()[t])];
    if (before.empty()) before = experts;
    EXPECT_EQ(experts, before);
    std::sort(experts.begin(), experts.end());
    EXPECT_EQ(std::unique(experts.begin(), experts.end()), experts.end()) << "k distinct experts";
  }
}

// Bias b_e moves once a step by rate·sign(mean load − load), over all of the step's micro-batches; it steers selection, not gates.
TEST(LossFreeBias, MovesAgainstTheLoadOfTheWholeStep) {
  RouterBench bench(4, 2, {{"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", 0.25}});
  EXPECT_EQ(bench.parameters.find("r.router_bias")->role, Role::buffer);
  std::vector<double> expected(4, 0);
  for (int step = 0; step < 3; ++step) {
    std::vector<int64_t> load(4);
    for (int micro = 0; micro < 2; ++micro) {
      for (int64_t i = 0; i < bench.x.elements(); ++i) bench.x.data<double>()[i] += 0.3;  // another batch
      const ops::Routing r = bench.route();
      expect_plain(bench, r, {.sigmoid = true, .bias = expected});
      for (size_t e = 0; e < 4; ++e) load[e] += r.load_E.data<int32_t>()[e];
    }
    bench.router->after_step(0);
    for (size_t e = 0; e < 4; ++e) expected[e] += load[e] < kTokens ? 0.25 : load[e] > kTokens ? -0.25 : 0;  // mean: 2·24·2/4
    EXPECT_EQ(elements(bench.bias()), expected);
  }
  EXPECT_NE(expected, std::vector<double>(4, 0));
}

TEST(LossFreeBias, EvaluationDoesNotCount) {
  RouterBench bench(4, 2, {{"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", 0.25}});
  Tape tape(bench.device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = bench.ids};
  bench.router->route(pass, bench.x);
  bench.router->after_step(0);
  EXPECT_EQ(elements(bench.bias()), std::vector<double>(4, 0));
}

TEST(BalancingLosses, EqualTheirDefinitions) {
  RouterBench bench(5, 2, {{"balance_loss", 0.5}, {"z_loss", 0.25}});
  const ops::Routing r = bench.route();
  double balance = 0, z = 0;
  for (int64_t e = 0; e < 5; ++e) {
    double p = 0;
    for (int64_t t = 0; t < kTokens; ++t) p += element(r.scores_NE, t * 5 + e) / kTokens;
    balance += 5 * p * r.load_E.data<int32_t>()[e] / (2.0 * kTokens);
  }
  for (int64_t t = 0; t < kTokens; ++t) {
    double partition = 0;
    for (int64_t e = 0; e < 5; ++e) partition += std::exp(element(r.logits_NE, t * 5 + e));
    z += std::pow(std::log(partition), 2) / kTokens;
  }
  EXPECT_NEAR(r.balance, balance, 1e-12);
  EXPECT_NEAR(r.z, z, 1e-12);
  EXPECT_NEAR(bench.tape.total_loss(), 0.5 * balance + 0.25 * z, 1e-12);
}

// A capacity drops the later slots of a full expert: the same result as without capacity when their gates are 0.
TEST(Capacity, DropsTheLastSlotsOfAFullExpert) {
  RouterBench bench(4, 2, Json::object());
  const ops::Routing r = bench.route();
  ops::FfnWeights w;
  const RandomStream stream(3, "test", "w");
  uint64_t drawn = 0;
  const auto weight = [&](Shape shape) {
    const Tensor t = bench.tape.empty(shape, DType::f64);
    for (int64_t i = 0; i < t.elements(); ++i) t.data<double>()[i] = stream.normal(drawn++);
    return t;
  };
  w.gate = weight({4, 6, kWidth});
  w.up = weight({4, 6, kWidth});
  w.down = weight({4, kWidth, 6});
  const int64_t capacity = 10;  // of 12 on average
  const Tensor kept = bench.tape.empty({kTokens, 2}, DType::f64);
  std::vector<int64_t> taken(4);
  int64_t expected = 0, dropped = -1;
  for (int64_t s = 0; s < 2 * kTokens; ++s) {
    const bool fits = taken[static_cast<size_t>(r.index_Nk.data<int32_t>()[s])]++ < capacity;
    kept.data<double>()[s] = fits ? r.weight_Nk.data<double>()[s] : 0;
    expected += !fits;
  }
  ASSERT_GT(expected, 0);
  const Tensor index = ops::drop(bench.tape, r.index_Nk, r.weight_Nk, 4, {.limit = capacity}, &dropped);
  const Tensor limited = ops::moe(bench.tape, bench.x, {index, r.weight_Nk}, w);
  const Tensor plain = ops::moe(bench.tape, bench.x, {r.index_Nk, kept}, w);
  EXPECT_EQ(dropped, expected);
  const std::vector<double> a = elements(limited), b = elements(plain);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-13);
}

// Of two devices with two experts each; the lowest gates go, except of tokens that are exempt, which are served before all others.
TEST(Capacity, DevicesShareALimitAndSomeTokensAreExempt) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  Tape tape(device, Tape::Mode::inference);
  const Tensor index = tape.empty({5, 1}, DType::i32), weight = tape.empty({5, 1}, DType::f64);
  std::copy_n(std::initializer_list<int32_t>{0, 1, 0, 1, 3}.begin(), 5, index.data<int32_t>());
  std::copy_n(std::initializer_list<double>{.5, .9, .1, .7, .2}.begin(), 5, weight.data<double>());
  int64_t dropped = 0;
  const auto kept = [&](const ops::CapacityOptions& o) {
    const Tensor t = ops::drop(tape, index, weight, 4, o, &dropped);
    return std::vector<int32_t>(t.data<int32_t>(), t.data<int32_t>() + 5);
  };
  EXPECT_EQ(kept({.rule = ops::DropRule::probability, .limit = 2, .share = 2}), (std::vector<int32_t>{-1, 1, -1, 1, 3}));
  EXPECT_EQ(dropped, 2);
  const uint8_t third[] = {0, 0, 1, 0, 0}, three[] = {1, 0, 1, 1, 0};
  EXPECT_EQ(kept({.rule = ops::DropRule::probability, .limit = 2, .share = 2, .exempt_N = third}), (std::vector<int32_t>{-1, 1, 0, -1, 3}));
  EXPECT_EQ(kept({.rule = ops::DropRule::probability, .limit = 2, .share = 2, .exempt_N = three}), (std::vector<int32_t>{0, -1, 0, 1, 3}))
      << "exempt tokens are kept above the limit";
  EXPECT_EQ(dropped, 1);
}

// Learned routing first; then the light router's experts for every token, whatever the activations, gated by the scores of the first.
TEST(StableRouter, SettlesOnAFewWordsChoices) {
  RouterBench bench(5, 2, {{"kind", "stable"}, {"settle_at", 0.5}, {"light_width", 3}});
  const ops::Routing before = bench.route();
  expect_plain(bench, before, {.sigmoid = true, .normalise = false});
  bench.router->after_step(0.49);
  EXPECT_EQ(element(bench.parameters.find("r.router_table")->value, 0), -1);
  bench.router->after_step(0.5);
  const std::vector<double> table = elements(bench.parameters.find("r.router_table")->value);
  const double *words = bench.parameters.find("r.router_words")->value.data<double>(), *light = bench.parameters.find("r.router_light")->value.data<double>();
  for (int64_t v = 0; v < kVocab; ++v) {
    const auto score = [&](int64_t e) { return std::inner_product(words + v * 3, words + v * 3 + 3, light + e * 3, 0.0); };
    const auto first = static_cast<int64_t>(table[static_cast<size_t>(2 * v)]), second = static_cast<int64_t>(table[static_cast<size_t>(2 * v + 1)]);
    EXPECT_GE(score(first), score(second));
    for (int64_t e = 0; e < 5; ++e) {
      if (e != first && e != second) {
        EXPECT_GE(score(second), score(e)) << "token " << v;
      }
    }
  }
  for (int64_t i = 0; i < bench.x.elements(); ++i) bench.x.data<double>()[i] = -bench.x.data<double>()[i];
  const double losses = bench.tape.total_loss();
  const ops::Routing after = bench.route();
  EXPECT_EQ(bench.tape.total_loss(), losses) << "nothing is balanced or imitated any more";
  for (int64_t t = 0; t < kTokens; ++t)
    for (int64_t j = 0; j < 2; ++j) {
      const int32_t e = after.index_Nk.data<int32_t>()[2 * t + j];
      EXPECT_EQ(e, table[static_cast<size_t>(2 * bench.ids.data<int32_t>()[t] + j)]);
      EXPECT_NEAR(element(after.weight_Nk, 2 * t + j), 1 / (1 + std::exp(-element(after.logits_NE, t * 5 + e))), 1e-12);
    }
}

// What it imitates it learns: enough steps down the loss, and the light router alone chooses as the learned one did.
TEST(StableRouter, LightRouterLearnsTheChoices) {
  RouterBench bench(4, 1, {{"kind", "stable"}, {"settle_at", 1.0}, {"balance_loss", 0.0}});
  for (int64_t t = 0; t < kTokens; ++t)  // words alike, activations alike
    for (int64_t c = 0; c < kWidth; ++c)
      bench.x.data<double>()[t * kWidth + c] = RandomStream(9, "word").normal(static_cast<uint64_t>(bench.ids.data<int32_t>()[t] * kWidth + c));
  std::vector<int32_t> learned;
  for (int step = 0; step < 200; ++step) {
    const Tensor index = bench.route().index_Nk;
    learned.assign(index.data<int32_t>(), index.data<int32_t>() + kTokens);
    bench.tape.backward();
    for (const char* name : {"r.router_words", "r.router_light"}) {
      Parameter* p = bench.parameters.find(name);
      for (int64_t i = 0; i < p->value.elements(); ++i) p->value.data<double>()[i] -= 2 * p->value.grad()->value.data<double>()[i];
    }
    bench.parameters.zero_gradients();
    bench.parameters.mark_changed();
  }
  bench.router->after_step(1);
  const ops::Routing settled = bench.route();
  for (int64_t t = 0; t < kTokens; ++t) EXPECT_EQ(settled.index_Nk.data<int32_t>()[t], learned[static_cast<size_t>(t)]) << "token " << t;
}

}  // namespace
}  // namespace gamut
