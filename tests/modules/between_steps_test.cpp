// What routers remember and change from one step to the next, and what is recorded of a pass.
#include <gtest/gtest.h>

#include <algorithm>

#include "moe_layer.h"

namespace gamut {
namespace {

using Layer = MoeLayer;

// Steps with a state choose as the parallel pass does; a copy of the state continues alike.
TEST(BetweenSteps, BigramsRememberTheTokenBefore) {
  Layer l(Json{{"experts", 16}, {"router", {{"kind", "hash_bigram"}}}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord whole;
  l.run(tape, &whole);
  std::unique_ptr<MixerState> state = l.channel->start(tape, 1), copy;
  const auto step = [&](int64_t t, MixerState& from) {
    std::vector<RoutingRecord> records;
    const std::vector<int32_t> id{l.ids[static_cast<size_t>(t)]};
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, id, 1, 1, kVocab), .routing = &records, .routing_choices = true};
    pass.state = &from;
    const Tensor x = tape.zeros({1, 1, kWidth}, DType::f64);
    l.channel->forward(pass, x);
    return records.at(0).index_Nk;
  };
  for (int64_t t = 0; t < kTokens; ++t) {
    if (t == 4) copy = state->clone();
    const std::vector<int32_t> expected{whole.index_Nk.begin() + 2 * t, whole.index_Nk.begin() + 2 * t + 2};
    EXPECT_EQ(step(t, *state), expected) << "token " << t;
  }
  EXPECT_EQ(step(4, *copy), (std::vector<int32_t>{whole.index_Nk.begin() + 8, whole.index_Nk.begin() + 10}));
}

// The bias rests after its share of the run; centred changes sum to 0; proportional ones follow the gap.
TEST(BetweenSteps, LossFreeBiasSchedules) {
  const auto after = [](const Json& router, double progress) {
    Layer l(Json{{"router", router}});
    Tape tape(l.device, Tape::Mode::training);
    RoutingRecord record;
    l.run(tape, &record);
    l.channel->after_step(progress);
    return std::pair(elements(l.parameters.find("c.router_bias")->value), record.load_E);
  };
  const Json bias = {{"balance", "bias"}, {"bias_rate", 0.25}, {"bias_until", 0.5}};
  EXPECT_NE(after(bias, 0.5).first, std::vector<double>(4, 0));
  EXPECT_EQ(after(bias, 0.51).first, std::vector<double>(4, 0));
  Json other = bias;
  other.update({{"bias_centre", true}, {"bias_rule", "proportional"}});
  const auto [moved, load] = after(other, 0);
  EXPECT_NEAR(std::accumulate(moved.begin(), moved.end(), 0.0), 0, 1e-12);
  for (size_t e = 0; e < 4; ++e) EXPECT_NEAR(moved[e], 0.25 * (5.0 - static_cast<double>(load[e])) / 5.0, 1e-12);
}

TEST(BetweenSteps, RemoePenaltyFollowsSparsity) {
  for (const int64_t k : {1, 4}) {  // fewer than chosen, or never fewer
    Layer l(Json{{"top_k", k}, {"router", {{"kind", "remoe"}, {"penalty", 0.5}, {"penalty_rate", 1.25}}}});
    Tape tape(l.device, Tape::Mode::training);
    RoutingRecord record;
    l.run(tape, &record);
    const double chosen = static_cast<double>(std::accumulate(record.load_E.begin(), record.load_E.end(), int64_t{0})) / kTokens;
    l.channel->after_step(0);
    EXPECT_NEAR(element(l.parameters.find("c.router_penalty")->value, 0), chosen > static_cast<double>(k) ? 0.5 * 1.25 : 0.5 / 1.25, 1e-12);
  }
}

// Enough steps on one batch balance it.
TEST(BetweenSteps, QuantilesBalance) {
  Layer l(Json{{"router", {{"kind", "quantile"}, {"keep", 0.5}}}}, 1.0);
  for (double& v : l.x) v += 1;  // all tokens alike in something
  const auto violation = [&](bool step) {
    Tape tape(l.device, Tape::Mode::training);
    RoutingRecord record;
    l.run(tape, &record);
    if (step) l.channel->after_step(0);
    return *std::max_element(record.load_E.begin(), record.load_E.end());
  };
  const int64_t before = violation(false);
  for (int step = 0; step < 30; ++step) violation(true);
  EXPECT_LT(violation(false), before);
  EXPECT_LE(violation(false), 6);  // of 5 on average
}

// Rewards raise the logits of what was drawn in proportion to the advantage: −(R − b)·∇ln π/N·policy, and the baseline follows R.
TEST(BetweenSteps, ReinforceGradient) {
  Layer l(Json{{"top_k", 1}, {"router", {{"kind", "reinforce"}, {"policy", 0.5}, {"value", 0.25}, {"balance_loss", 0}}}});
  Tape tape(l.device, Tape::Mode::training);
  const auto losses = std::make_shared<Tensor>(tape.empty({kTokens}, DType::f64));
  RoutingRecord record;
  const Tensor y = l.run(tape, &record, losses);
  for (int64_t t = 0; t < kTokens; ++t) losses->data<double>()[t] = 0.3 * static_cast<double>(t) - 1;
  tape.backward();
  std::vector<double> expected(4 * kWidth), baseline(kWidth);
  for (int64_t t = 0; t < kTokens; ++t) {
    const double reward = 1 - 0.3 * static_cast<double>(t);
    double partition = 0;
    for (int64_t e = 0; e < 4; ++e) partition += std::exp(l.dot(l.weights("router") + e * kWidth, t));
    for (int64_t e = 0; e < 4; ++e) {
      const double slope = (record.index_Nk[static_cast<size_t>(t)] == e ? 1.0 : 0.0) - std::exp(l.dot(l.weights("router") + e * kWidth, t)) / partition;
      for (int64_t c = 0; c < kWidth; ++c)
        expected[static_cast<size_t>(e * kWidth + c)] -= 0.5 / kTokens * reward * slope * l.x[static_cast<size_t>(t * kWidth + c)];
    }
    for (int64_t c = 0; c < kWidth; ++c) baseline[static_cast<size_t>(c)] -= 0.25 / kTokens * reward * l.x[static_cast<size_t>(t * kWidth + c)];
  }
  const std::vector<double> found = elements(l.parameters.find("c.router")->value.grad()->value),
                            value = elements(l.parameters.find("c.router_baseline")->value.grad()->value);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12);
  for (size_t i = 0; i < value.size(); ++i) EXPECT_NEAR(value[i], baseline[i], 1e-12);
}

TEST(Records, EntropyLogitsAndPairs) {
  Layer l(Json::object());
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  l.run(tape, &record);
  double entropy = 0, square = 0;
  std::vector<int64_t> pairs(6);
  for (int64_t t = 0; t < kTokens; ++t) {
    double partition = 0;
    std::vector<double> h;
    for (int64_t e = 0; e < 4; ++e) partition += std::exp(h.emplace_back(l.dot(l.weights("router") + e * kWidth, t)));
    for (const double v : h) {
      entropy -= std::exp(v) / partition * (v - std::log(partition)) / kTokens / std::log(4.0);
      square += v * v / kTokens / 4;
    }
    const int a = std::min(record.index_Nk[static_cast<size_t>(2 * t)], record.index_Nk[static_cast<size_t>(2 * t + 1)]),
              b = std::max(record.index_Nk[static_cast<size_t>(2 * t)], record.index_Nk[static_cast<size_t>(2 * t + 1)]);
    ++pairs[static_cast<size_t>(a == 0 ? b - 1 : a == 1 ? b + 1 : 5)];
  }
  EXPECT_NEAR(record.entropy, entropy, 1e-12);
  EXPECT_NEAR(record.logit_square, square, 1e-12);
  EXPECT_EQ(record.pairs, pairs);
}

}  // namespace
}  // namespace gamut
