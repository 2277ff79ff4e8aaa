// Routers as they are registered, with the identity for weights so that what they read are the logits, against numbers computed independently in float64:
// eight tokens and four experts as in router_numbers_test, and three tokens small enough to follow by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "modules/channels/routers/noisy_topk.h"
#include "modules/channels/routers/sinkhorn.h"
#include "ops/capacity.h"
#include "ops/rowwise.h"
#include "router_bench.h"

namespace gamut {
namespace {

constexpr int64_t kExperts = 4;
// clang-format off
const std::vector<double> kLogits{0.1575, -1.0581, 0.63435, 0.3918, 0.75405, -1.81575, 0.0309, 0.9312, -0.10155, 0.33705, 0.70815, -1.98105, -1.07805,
    1.1574, 0.86835, 1.23585, 1.37325, -0.2265, -1.34355, -0.4416, -0.2685, 0.1263, 3.8043, -1.49925, 0.09465, 0.9456, 1.1538, -0.8565, 0.37395,
    2.99805, -0.75885, 1.1685};
// clang-format on
const std::vector<double> kThree{2, 1, 0, -1, 0, .5, 1, 1.5, 1, 3, 2, 0};
const std::vector<int32_t> kIds{11, 4, 3, 3, 3, 11, 3, 7};

// The identity for weights, and kIds for ids.
struct Bench : RouterBench {
  Bench(const std::string& kind, int64_t k, const std::vector<double>& logits, Json options, Tape::Mode mode = Tape::Mode::training,
        const std::vector<double>& bias = {})
      : RouterBench(kExperts, k, (options["kind"] = kind, options), 1, mode, kExperts) {
    std::vector<double> identity(16);
    for (size_t i = 0; i < 16; i += 5) identity[i] = 1;
    if (parameters.find("r.router")) set("r.router", identity);
    if (!bias.empty()) set("r.router_bias", bias);
    read(logits);
    ids = id_tensor(tape, kIds, 1, 8, spec.vocab);
  }
};

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

using Indices = std::vector<int32_t>;
Indices indices(const Tensor& t) { return {t.data<int32_t>(), t.data<int32_t>() + t.elements()}; }

TEST(RouterVectors, TopKOfASoftmax) {
  // clang-format off
  const std::vector<double> scores{0.239719195163, 0.071084422372, 0.386185652236, 0.303010730229, 0.362899689934, 0.027780281204, 0.176086695145,
      0.433233333718, 0.202002446835, 0.313211853672, 0.453946709126, 0.030838990367, 0.036406118811, 0.340422284338, 0.254967697257, 0.368203899594,
      0.698863188649, 0.141133323264, 0.046184996704, 0.113818491384, 0.016260873154, 0.024132556047, 0.954857201632, 0.004749369167, 0.151238208787,
      0.354180310601, 0.436158685821, 0.058422794791, 0.057710962508, 0.795958578105, 0.018590433992, 0.127740025395},
      plain{0.386185652236, 0.303010730229, 0.433233333718, 0.362899689934, 0.453946709126, 0.313211853672, 0.368203899594, 0.340422284338,
      0.698863188649, 0.141133323264, 0.954857201632, 0.024132556047, 0.436158685821, 0.354180310601, 0.795958578105, 0.127740025395},
      normalised{0.560341960668, 0.439658039332, 0.54417204267, 0.45582795733, 0.591724750449, 0.408275249551, 0.519602447585, 0.480397552415,
      0.831983441286, 0.168016558714, 0.975349531639, 0.024650468361, 0.551862792796, 0.448137207204, 0.861708110296, 0.138291889704};
  // clang-format on
  for (const bool normalise : {false, true}) {
    Bench b("topk", 2, kLogits, {{"normalise", normalise}});
    const ops::Routing r = b.route();
    EXPECT_EQ(indices(r.index_Nk), (Indices{2, 3, 3, 0, 2, 1, 3, 1, 0, 1, 2, 1, 2, 1, 1, 3}));
    expect_near(elements(r.scores_NE), scores, 1e-11);
    expect_near(elements(r.weight_Nk), normalise ? normalised : plain, 1e-11);
  }
}

TEST(RouterVectors, SwitchTakesTheProbability) {
  Bench b("switch", 1, kLogits, Json::object());
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{2, 3, 2, 3, 0, 2, 2, 1}));
  expect_near(elements(r.weight_Nk),
              {0.386185652236, 0.433233333718, 0.453946709126, 0.368203899594, 0.698863188649, 0.954857201632, 0.436158685821, 0.795958578105}, 1e-11);
}

TEST(RouterVectors, GShardGates) {
  Bench b("gshard", 2, kLogits, {{"second", "all"}});
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{2, 3, 3, 0, 2, 1, 3, 1, 0, 1, 2, 1, 2, 1, 1, 3}));
  const std::vector<double> gates = elements(r.weight_Nk);
  EXPECT_NEAR(gates[0], 0.5603419598550676, 1e-12) << "divided by the sum + 1e-9";
  EXPECT_NEAR(gates[1], 0.4396580386939671, 1e-12);
  EXPECT_NEAR(gates[13], 0.44813720663677775, 1e-12);
}

// Selected with a bias, weighed without; then the bias moves by a thousandth against the load 3, 2, 6, 5.
TEST(RouterVectors, SigmoidWithBias) {
  Bench b("topk", 2, kLogits, {{"score", "sigmoid"}, {"scale", 2.5}, {"balance", "bias"}}, Tape::Mode::training, {-0.22767, -0.34608, -0.03255, 0.0084});
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{2, 3, 3, 2, 2, 0, 3, 2, 0, 3, 2, 0, 2, 1, 3, 1}));
  // clang-format off
  expect_near(elements(r.weight_Nk), {1.3067505429110506, 1.1932494570889494, 1.4638642073528962, 1.036135792647104, 1.4633424599062366, 1.036657540093763,
      1.3095224769524534, 1.190477523047547, 1.6773071069487855, 0.8226928930512147, 1.7325899884905962, 0.7674100115094036, 1.2837526716427656,
      1.2162473283572344, 1.1118276866100143, 1.3881723133899855}, 1e-12);
  // clang-format on
  b.router->after_step(0);
  expect_near(elements(b.parameters.find("r.router_bias")->value), {-0.22667, -0.34508, -0.03355, 0.0074}, 1e-12);
}

TEST(RouterVectors, BaseAssignsAllAndWeighsBySigmoid) {
  Bench b("base", 1, kLogits, {{"assignment", "exact"}});
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{3, 0, 2, 3, 0, 2, 1, 1}));
  // clang-format off
  expect_near(elements(r.weight_Nk), {0.5967159374510724, 0.6800605327712961, 0.6699922486467, 0.7748408207023332, 0.7979047325030538, 0.9782105707719704,
      0.7202294421700195, 0.9524859545501437}, 1e-12);
  // clang-format on
}

// Ten rounds, then the largest of each row; evaluation takes the largest logit.
TEST(RouterVectors, SinkhornChoices) {
  const auto choices = [](const std::vector<double>& plan) {
    Indices out;
    for (size_t t = 0; t < plan.size(); t += kExperts)
      out.push_back(static_cast<int32_t>(std::max_element(plan.begin() + static_cast<int64_t>(t), plan.begin() + static_cast<int64_t>(t) + kExperts) -
                                         plan.begin() - static_cast<int64_t>(t)));
    return out;
  };
  EXPECT_EQ(choices(sinkhorn(kLogits, 8, kExperts, 0, 10)), (Indices{3, 3, 1, 3, 0, 2, 1, 1}));
  Bench b("sinkhorn", 1, kLogits, Json::object()), evaluation("sinkhorn", 1, kLogits, Json::object(), Tape::Mode::inference);
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), choices(sinkhorn(kLogits, 8, kExperts, 1e-4, 1000)));
  EXPECT_EQ(indices(evaluation.route().index_Nk), (Indices{2, 3, 2, 3, 0, 2, 2, 1}));
  for (int64_t t = 0; t < 8; ++t) {
    const double h = kLogits[static_cast<size_t>(t * kExperts + r.index_Nk.data<int32_t>()[t])];
    EXPECT_NEAR(element(r.weight_Nk, t), 1 / (1 + std::exp(-h)), 1e-12);
  }
  const std::vector<double> plan = sinkhorn(kThree, 3, kExperts, 1e-4, 1000);
  expect_near({plan.begin(), plan.begin() + 4}, {.20363, .06104, .04485, .02379}, 1e-5);
  EXPECT_EQ(choices(plan), (Indices{0, 3, 1}));
}

// Each expert takes the three tokens that score it highest, ⌈1.5·8/4⌉.
TEST(RouterVectors, ExpertChoice) {
  Bench b("expert_choice", 2, kLogits, {{"factor", 1.5}, {"group", "batch"}});
  const ops::Routing r = b.route();
  const std::vector<std::vector<int32_t>> tokens{{4, 1, 0}, {7, 6, 3}, {5, 2, 6}, {1, 3, 0}};
  const std::vector<std::vector<double>> gates{{0.698863188649, 0.362899689934, 0.239719195163},
                                               {0.795958578105, 0.354180310601, 0.340422284338},
                                               {0.954857201632, 0.453946709126, 0.436158685821},
                                               {0.433233333718, 0.368203899594, 0.303010730229}};
  int64_t taken = 0;
  for (int64_t s = 0; s < r.index_Nk.elements(); ++s) taken += r.index_Nk.data<int32_t>()[s] >= 0;
  EXPECT_EQ(taken, 12);
  for (size_t e = 0; e < 4; ++e)
    for (size_t i = 0; i < 3; ++i) {
      const int64_t slot = tokens[e][i] * kExperts + static_cast<int64_t>(e);
      EXPECT_EQ(r.index_Nk.data<int32_t>()[slot], e);
      EXPECT_NEAR(element(r.weight_Nk, slot), gates[e][i], 1e-11);
    }
}

// Of the softmax without noise, whatever was chosen under it.
TEST(RouterVectors, ImportanceOfCleanScores) {
  Bench b("noisy_topk", 2, kLogits, {{"noise", "constant"}, {"load_loss", 0.0}, {"importance_loss", 2.0}}), scores("topk", 2, kLogits, {{"balance", "none"}});
  b.route();
  const ops::Routing r = scores.route();
  std::vector<double> sums(kExperts);
  for (int64_t i = 0; i < r.scores_NE.elements(); ++i) sums[static_cast<size_t>(i % kExperts)] += element(r.scores_NE, i);
  EXPECT_NEAR(b.tape.total_loss(), 2 * ops::squared_variation(sums, false).value, 1e-12);
}

// Scores that do not compete, as one expert that only the best tokens pass needs them.
TEST(RouterVectors, ExpertChoiceBySigmoid) {
  Bench b("expert_choice", 2, kLogits, {{"factor", 1.0}, {"group", "batch"}, {"score", "sigmoid"}});
  const ops::Routing r = b.route();
  for (int64_t e = 0; e < kExperts; ++e) {
    std::vector<double> column;
    for (int64_t t = 0; t < 8; ++t) column.push_back(kLogits[static_cast<size_t>(t * kExperts + e)]);
    std::sort(column.rbegin(), column.rend());
    for (int64_t t = 0; t < 8; ++t) {
      const double h = kLogits[static_cast<size_t>(t * kExperts + e)];
      EXPECT_EQ(r.index_Nk.data<int32_t>()[t * kExperts + e] >= 0, h >= column[1]) << "two of eight tokens for each of four experts";
      EXPECT_NEAR(element(r.weight_Nk, t * kExperts + e), 1 / (1 + std::exp(-h)), 1e-12);
    }
  }
}

TEST(RouterVectors, HashTables) {
  Bench modulo("hash", 1, kLogits, {{"table", "modulo"}});
  EXPECT_EQ(indices(modulo.route().index_Nk), (Indices{3, 0, 3, 3, 3, 3, 3, 3}));
  const std::vector<double> frequency{30, 25, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1};
  const Indices table = balanced_table(frequency, 3, 1);
  Indices choice;
  std::vector<double> load(3);
  for (const int32_t id : kIds) choice.push_back(table[static_cast<size_t>(id)]);
  for (size_t v = 0; v < frequency.size(); ++v) load[static_cast<size_t>(table[v])] += frequency[v];
  EXPECT_EQ(choice, (Indices{1, 2, 2, 2, 2, 1, 2, 2}));
  EXPECT_EQ(load, (std::vector<double>{39, 38, 38}));
  Bench learned("hash", 1, kLogits, {{"table", "modulo"}, {"gates", "scores"}, {"score", "sqrt_softplus"}, {"scale", 1.5}});
  const ops::Routing r = learned.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{3, 0, 3, 3, 3, 3, 3, 3}));
  EXPECT_NEAR(element(r.weight_Nk, 1), 1.5 * std::sqrt(std::log1p(std::exp(0.75405))), 1e-12);
}

// Three tokens: choices and gates, every loss on them in each of its conventions, and their gradients at the first token.
TEST(RouterVectors, ThreeTokens) {
  Bench b("topk", 2, kThree, {{"normalise", false}});
  const ops::Routing r = b.route();
  EXPECT_EQ(indices(r.index_Nk), (Indices{0, 1, 3, 2, 1, 2}));
  expect_near(elements(r.weight_Nk), {.643914, .236883, .455054, .276004, .643914, .236883}, 1e-6);
  std::vector<double> mean(4);
  for (int64_t i = 0; i < 12; ++i) mean[static_cast<size_t>(i % 4)] += element(r.scores_NE, i) / 3;
  expect_near(mean, {.277532, .349401, .200010, .173057}, 1e-6);
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 0, {.count = ops::BalanceCount::first}), 1.066653, 1e-6);
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 0, {.count = ops::BalanceCount::tokens}), 2.065882, 1e-6);
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 0), 1.032941, 1e-6);
  EXPECT_NEAR(ops::z_loss(b.tape, r.logits_NE, 0), 7.673783, 1e-6);

  Bench n("topk", 2, kThree, Json::object());
  const ops::Routing s = n.route();
  expect_near(elements(s.weight_Nk), {.731059, .268941, .622459, .377541, .731059, .268941}, 1e-6);
  EXPECT_NEAR(ops::importance_loss(n.tape, s, 0), .039929, 1e-6);
  EXPECT_NEAR(ops::importance_loss(n.tape, s, 0, true), .053239, 1e-6);
  const std::vector<double> load{1, 2, 2, 1};
  for (size_t e = 0; e < 4; ++e) EXPECT_EQ(s.load_E.data<int32_t>()[e], load[e]);
  EXPECT_NEAR(ops::squared_variation(load, false).value, .111111, 1e-6);
  EXPECT_NEAR(max_violation({1, 2, 2, 1}), .333333, 1e-6);

  Bench first("switch", 1, kThree, {{"balance_loss", 1.0}}), z("topk", 2, kThree, {{"balance", "none"}, {"z_loss", 1.0}});
  for (auto& [bench, expected] :
       {std::pair<Bench*, std::vector<double>>{&first, {.024939, .009175, -.035356, .001242}}, {&z, {1.047515, .385359, .141766, .052153}}}) {
    bench->route();
    bench->tape.backward();
    const std::vector<double> d = elements(bench->x.grad()->value);
    expect_near({d.begin(), d.begin() + 4}, expected, 1e-6);
  }
}

// Slopes of gates in closed form, through the whole router: q = (1, −.5) on the two choices of one token.
TEST(RouterVectors, GateGradients) {
  for (const auto& [options, expected] : {std::pair<Json, std::vector<double>>{Json{{"balance_loss", 0.0}}, {.294918, -.294918, 0, 0}},
                                          {Json{{"balance_loss", 0.0}, {"normalise", false}}, {.305555, -.242917, -.045792, -.016846}},
                                          {Json{{"balance_loss", 0.0}, {"score", "sigmoid"}, {"scale", 2.5}}, {.110788, -.249957, 0, 0}}}) {
    Bench b("topk", 2, {2, 1, 0, -1}, options);
    const ops::Routing r = b.route();
    const Tensor q = b.tape.empty({1, 2}, DType::f64);
    q.data<double>()[0] = 1;
    q.data<double>()[1] = -.5;
    b.tape.give(r.weight_Nk.grad(), q);
    b.tape.backward();
    expect_near(elements(b.x.grad()->value), expected, 1e-6);
  }
}

}  // namespace
}  // namespace gamut
