// Routers against numbers computed independently in float64 from the equations of their papers: eight tokens, four experts.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "modules/channels/routers/assignment.h"
#include "modules/channels/routers/noisy_topk.h"
#include "modules/channels/routers/router.h"
#include "modules/channels/routers/sinkhorn.h"
#include "ops/capacity.h"
#include "ops/rowwise.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int64_t kTokens = 8, kExperts = 4;
// clang-format off
const std::vector<double> kLogits{0.1575, -1.0581, 0.63435, 0.3918, 0.75405, -1.81575, 0.0309, 0.9312, -0.10155, 0.33705, 0.70815, -1.98105, -1.07805,
    1.1574, 0.86835, 1.23585, 1.37325, -0.2265, -1.34355, -0.4416, -0.2685, 0.1263, 3.8043, -1.49925, 0.09465, 0.9456, 1.1538, -0.8565, 0.37395,
    2.99805, -0.75885, 1.1685};
const std::vector<double> kX{-0.0734, -0.7679, -0.7321, -0.0353, -0.5701, -0.8548, 0.115, -1.3851, -1.6967, -0.5005, -1.4979, -0.1896, -0.2038,
    0.1373, 0.1827, -0.1017, 1.0519, 0.8056, 0.948, 0.1747, -1.1618, -0.6269, -0.4545, -0.5159};
const std::vector<double> kGate{1.4037, -0.1083, -0.9234, -1.7036, -0.1115, -0.7826, 1.0024, 1.4467, -0.1312, 1.6482, 0.2724, 0.0175};
const std::vector<double> kNoiseGate{-0.6598, -1.159, -0.1272, -0.4764, 0.7549, 0.376, 1.1729, -0.8197, -1.015, -0.1202, -0.3185, 0.1673};
const std::vector<double> kNormal{2.8529, 0.3666, -0.6027, 0.2334, -1.1356, -0.058, -0.6773, 1.0808, 0.5766, -1.5284, 0.6599, -1.6189, 0.2044, 0.4738,
    0.2511, 0.7082, 0.6297, -1.9593, 0.9598, -1.1172, 0.1819, -0.3138, -0.7032, -0.0637, -0.7646, -0.2747, -1.4623, -1.2153, 1.244, 1.9677, -2.8748,
    -1.1308};
const std::vector<double> kSwitchGradient{-0.0218978643, -0.0064934184, 0.0371325304, -0.0087412476, -0.021807854, -0.0016694098, 0.0224346179,
    0.0010426459, -0.0175827868, -0.0272627255, 0.0456023766, -0.0007568642, -0.0025782517, -0.0241084294, 0.0297498382, -0.0030631571, -0.0110234085,
    -0.0022261443, 0.0079311951, 0.0053183577, -0.002916104, -0.0043277531, 0.0077987381, -0.000554881, -0.0129204584, -0.0302580413, 0.0445182032,
    -0.0013397035, -0.0006619135, -0.0091292135, 0.0032724842, 0.0065186427};
const std::vector<double> kPooledGradient{-0.0249117754, 0.010383966, 0.0081405412, 0.0063872682, -0.0301606201, 0.0046362491, 0.0073762586,
    0.0181481123, -0.0280583774, 0.0347974687, -0.006310393, -0.0004286982, -0.0059342709, 0.0296160508, -0.0096892877, -0.0139924922, -0.0386357896,
    0.0274809491, 0.003219844, 0.0079349965, -0.0020486092, 0.002992824, -0.0009395416, -4.6732e-06, -0.0227413511, 0.0352877767, -0.0110643701,
    -0.0014820556, -0.0125394929, 0.026043007, -0.0017155429, -0.0117879711};
const std::vector<double> kZGradient{0.0950358995, 0.0281811893, 0.1531020526, 0.1201276238, 0.1603725238, 0.0122766537, 0.0778161803, 0.1914543469,
    0.0756461525, 0.1172920032, 0.1699945842, 0.0115486273, 0.0203416315, 0.1902082637, 0.1424611878, 0.2057310219, 0.3025291875, 0.0610948614,
    0.019992911, 0.0492706102, 0.0156530965, 0.0232305624, 0.9191678565, 0.0045718537, 0.0749971049, 0.1756335129, 0.2162855469, 0.0289711211,
    0.0465476155, 0.6419919588, 0.0149943847, 0.1030305739};
// clang-format on

struct Bench {
  Bench() : device(Device::real(pool)), tape(device, Tape::Mode::training), logits(tensor({kTokens, kExperts}, kLogits, true)) {}
  Tensor tensor(Shape shape, const std::vector<double>& values, bool gradient = false) {
    Tensor t = tape.empty(shape, DType::f64);
    std::copy(values.begin(), values.end(), t.data<double>());
    if (gradient) t.require_grad();
    return t;
  }
  void expect_gradient(const Tensor& of, const std::vector<double>& expected, double tolerance = 1e-9) {
    tape.backward();
    const std::vector<double> found = elements(of.grad()->value);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
  }
  ThreadPool pool{1};
  Device device;
  Tape tape;
  Tensor logits;
};

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance = 1e-9) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

std::vector<int32_t> indices(const Tensor& t) { return {t.data<int32_t>(), t.data<int32_t>() + t.elements()}; }

// E·Σ f·P of first choices.
TEST(RouterNumbers, SwitchLossAndGradient) {
  Bench b;
  const ops::Routing r = ops::select(b.tape, b.logits, Tensor(), {.norm = kernels::GateNorm::none, .k = 1});
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 1), 1.101309490649, 1e-9);
  b.expect_gradient(b.logits, kSwitchGradient);
}

// Two choices counted of the tokens: twice the loss that counts slots; GShard counts first choices alone.
TEST(RouterNumbers, ConventionsOfTheBalancingLoss) {
  Bench b;
  const ops::Routing r = ops::select(b.tape, b.logits, Tensor(), {.k = 2});
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 0.0), 2.03785036572 / 2, 1e-9);
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 0.0, {.count = ops::BalanceCount::first}), 1.101309490649, 1e-9);
  EXPECT_NEAR(ops::balance_loss(b.tape, r, 1, {.count = ops::BalanceCount::tokens}), 2.03785036572, 1e-9);
  b.expect_gradient(b.logits, kPooledGradient);
}

// Over one layer the pooled loss is the layer's; over two it is that of all rows together.
TEST(RouterNumbers, PooledLossOfTwoLayers) {
  Bench b;
  const Tensor first = b.tensor({4, kExperts}, {kLogits.begin(), kLogits.begin() + 16}),
               second = b.tensor({4, kExperts}, {kLogits.begin() + 16, kLogits.end()});
  const ops::Routing r = ops::select(b.tape, first, Tensor(), {.k = 2}), s = ops::select(b.tape, second, Tensor(), {.k = 2});
  Tape tape(b.device, Tape::Mode::inference);
  const std::vector<ops::LayerScores> layers{{r.scores_NE, r.index_Nk}, {s.scores_NE, s.index_Nk}};
  EXPECT_NEAR(ops::pooled_balance(tape, layers, Tensor(), 1), 2.03785036572 / 2, 1e-9);
}

TEST(RouterNumbers, ZLossAndGradient) {
  Bench b;
  EXPECT_NEAR(ops::z_loss(b.tape, b.logits, 1), 5.630756085241, 1e-8);
  b.expect_gradient(b.logits, kZGradient);
}

// With f gathered over a step, a second micro-batch sees the choices of both; alone in its step it sees its own.
TEST(RouterNumbers, GlobalBalanceGathersOverMicroBatches) {
  Bench b;
  std::vector<int64_t> gathered;
  const auto part = [&](int64_t first) {
    return ops::select(b.tape, b.tensor({4, kExperts}, {kLogits.begin() + first * 4, kLogits.begin() + first * 4 + 16}, true), Tensor(), {.k = 2});
  };
  const ops::Routing one = part(0), two = part(4);
  EXPECT_NEAR(ops::balance_loss(b.tape, one, 0, {.gathered = &gathered}), ops::balance_loss(b.tape, one, 0), 1e-12);
  const double value = ops::balance_loss(b.tape, two, 0, {.gathered = &gathered});
  double expected = 0;
  for (int64_t e = 0; e < kExperts; ++e) {
    double mean = 0;
    for (int64_t t = 0; t < 4; ++t) mean += element(two.scores_NE, t * kExperts + e) / 4;
    expected += 4 * mean * (one.load_E.data<int32_t>()[e] + two.load_E.data<int32_t>()[e]) / 16.0;
  }
  EXPECT_NEAR(value, expected, 1e-12);
  EXPECT_EQ(gathered.back(), 8);
}

// Rows (3, 4) and (1, 0): |25 − 1| + 2·3 + 0; scores whose columns vary by 1/16 and 1/64.
TEST(RouterNumbers, OrthogonalityAndVariance) {
  Bench b;
  const Tensor w = b.tensor({2, 2}, {3, 4, 1, 0}, true);
  EXPECT_NEAR(ops::orthogonality_loss(b.tape, w, 0.5), 30, 1e-12);
  ops::Routing r;
  r.scores_NE = b.tensor({2, 2}, {0.25, 0.5, 0.75, 0.25}, true);
  EXPECT_NEAR(ops::variance_loss(b.tape, r, 2), 1. / 16 + 1. / 64, 1e-12);
  EXPECT_NEAR(b.tape.total_loss(), 0.5 * 30 - 2 * (1. / 16 + 1. / 64), 1e-12);
  b.tape.backward();
  expect_near(elements(w.grad()->value), {4, 4, 3, 4}, 1e-12);
  expect_near(elements(r.scores_NE.grad()->value), {0.5, -0.25, -0.5, 0.25}, 1e-12);
}

// Three clouds of points: their clusters, whatever the order of the tokens.
TEST(RouterNumbers, ClusteredTable) {
  std::vector<float> vectors;
  const RandomStream stream(1, "clouds");
  for (uint64_t v = 0; v < 60; ++v)
    for (uint64_t c = 0; c < 2; ++c) vectors.push_back(static_cast<float>((c == 0 ? 10.0 * static_cast<double>(v % 3) : 0.0) + 0.3 * stream.normal(2 * v + c)));
  int whole = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const std::vector<int64_t> table = clustered_table(vectors, 2, 3, 1, seed), two = clustered_table(vectors, 2, 3, 2, seed);
    std::set<int64_t> of[3];
    for (size_t v = 0; v < 60; ++v) {
      of[v % 3].insert(table[v]);
      EXPECT_EQ(two[2 * v], table[v]) << "the nearest first";
      EXPECT_NE(two[2 * v], two[2 * v + 1]);
    }
    whole += of[0].size() == 1 && of[1].size() == 1 && of[2].size() == 1 && of[0] != of[1] && of[1] != of[2] && of[0] != of[2];
  }
  EXPECT_GE(whole, 6) << "most starts find the clouds";
}

TEST(RouterNumbers, SquaredVariation) {
  const std::vector<double> importance{1, 2, 2.5, 1};
  expect_near(ops::squared_variation(importance, false).slope, {-.167501, .021848, .116523, -.167501}, 1e-6);
  EXPECT_NEAR(ops::squared_variation(std::vector<double>{1, 2, 2, 1}, false).value, .111111, 1e-6);
  const double population = ops::squared_variation(importance, false).value;
  EXPECT_NEAR(ops::squared_variation(importance, true).value, population * 4 / 3, 1e-9);
}

TEST(RouterNumbers, SwitchCapacity) {
  Bench b;
  const ops::Routing r = ops::select(b.tape, b.logits, Tensor(), {.norm = kernels::GateNorm::none, .k = 1});
  int64_t dropped = 0;
  EXPECT_EQ(indices(ops::drop(b.tape, r.index_Nk, r.weight_Nk, kExperts, {.limit = 2}, &dropped)), (std::vector<int32_t>{2, 3, 2, 3, 0, -1, -1, 1}));
  EXPECT_EQ(dropped, 2);
}

// Second choices that were wanted, after all first choices, three slots each.
TEST(RouterNumbers, GShardCapacity) {
  Bench b;
  const ops::Routing r = ops::select(b.tape, b.logits, Tensor(), {.epsilon = 1e-9, .k = 2});
  const std::vector<double> uniform{0.6130159035, 0.2646419567, 0.6011002127, 0.0288187908, 0.0450694404, 0.5929222404, 0.2723032352, 0.9553201187};
  // clang-format off
  const std::vector<double> expected{0.0, 0.0, 0.560341959855, 0.439658038694, 0.455827956757, 0.0, 0.0, 0.544172041987, 0.0, 0.408275249019,
      0.591724749677, 0.0, 0.0, 0.480397551737, 0.0, 0.519602446852, 0.831983440295, 0.0, 0.0, 0.0, 0.0, 0.0, 0.975349530643, 0.0, 0.0, 0.0, 0.0,
      0.0, 0.0, 0.861708109363, 0.0, 0.0};
  // clang-format on
  const Tensor wanted = b.tape.empty({kTokens, 2}, DType::i32);
  for (int64_t t = 0; t < kTokens; ++t) {
    wanted.data<int32_t>()[2 * t] = r.index_Nk.data<int32_t>()[2 * t];
    wanted.data<int32_t>()[2 * t + 1] = 2 * element(r.weight_Nk, 2 * t + 1) > uniform[static_cast<size_t>(t)] ? r.index_Nk.data<int32_t>()[2 * t + 1] : -1;
  }
  int64_t dropped = 0;
  const Tensor kept = ops::drop(b.tape, wanted, r.weight_Nk, kExperts, {.choices_first = true, .limit = 3}, &dropped);
  std::vector<double> combine(kTokens * kExperts);
  for (int64_t s = 0; s < 2 * kTokens; ++s)
    if (const int32_t e = kept.data<int32_t>()[s]; e >= 0) combine[static_cast<size_t>(s / 2 * kExperts + e)] = element(r.weight_Nk, s);
  expect_near(combine, expected);
  EXPECT_EQ(dropped, 3);
}

TEST(RouterNumbers, NoisyTopKLossesAndGradients) {
  Bench b;
  const auto columns = [](const std::vector<double>& w) {  // [3, 4] as [4, 3]
    std::vector<double> out;
    for (size_t e = 0; e < 4; ++e)
      for (size_t d = 0; d < 3; ++d) out.push_back(w[d * 4 + e]);
    return out;
  };
  const Tensor x = b.tensor({kTokens, 3}, kX), gate = b.tensor({4, 3}, columns(kGate), true), noise_gate = b.tensor({4, 3}, columns(kNoiseGate), true);
  const RouterNoise noise{kExperts, 0, std::make_shared<std::vector<double>>(kNormal)};
  const Tensor both = ops::beside(b.tape, ops::router_logits(b.tape, x, gate, Tensor()), ops::router_logits(b.tape, x, noise_gate, Tensor()));
  const ops::Routing r = ops::select(b.tape, noisy_logits(b.tape, both, noise), Tensor(), {.k = 2});
  const std::vector<double> gates = elements(r.weight_Nk), noisy = elements(r.logits_NE);
  expect_near({noisy.begin(), noisy.begin() + 4}, {2.402775488504, -0.360553749506, -1.158901561525, -0.762864402061});
  expect_near({gates.begin(), gates.begin() + 4}, {0.940661735735, 0.059338264265, 0.758419367388, 0.241580632612});
  std::vector<double> importance(kExperts);
  for (int64_t s = 0; s < 2 * kTokens; ++s) importance[static_cast<size_t>(r.index_Nk.data<int32_t>()[s])] += gates[static_cast<size_t>(s)];
  expect_near(importance, {3.571090920857, 1.615535497697, 1.003544566059, 1.809829015387});
  EXPECT_NEAR(ops::importance_loss(b.tape, r, 1), 0.227826754391, 1e-9);
  EXPECT_NEAR(load_loss(b.tape, both, noise, 2, 1, false), 0.003470475256, 1e-9);
  EXPECT_NEAR(b.tape.total_loss(), 0.231297229647, 1e-9);
  b.tape.backward();
  // clang-format off
  const std::vector<double> d_gate{-0.036423208122, 0.030063894401, 0.014382863761, -0.008023550039, -0.080634585094, 0.039575788656, -0.00205710728,
      0.043115903718, -0.113137495875, 0.041163275709, 0.009718048303, 0.062256171863}, d_noise{-0.037022983171, 0.035884936183, 0.007313270202,
      0.00411457411, -0.020667120406, 0.029593988247, 0.01031709138, 0.015831291693, -0.000577188907, 0.033517291311, 0.004769850935,
      0.016131617943};
  // clang-format on
  expect_near(elements(gate.grad()->value), columns(d_gate), 2e-9);
  expect_near(elements(noise_gate.grad()->value), columns(d_noise), 2e-9);
}

double total(const std::vector<int32_t>& expert) {
  double sum = 0;
  for (size_t t = 0; t < expert.size(); ++t) sum += kLogits[t * kExperts + static_cast<size_t>(expert[t])];
  return sum;
}

TEST(RouterNumbers, BaseAssignment) {
  const std::vector<int32_t> best{3, 0, 2, 3, 0, 2, 1, 1};
  EXPECT_EQ(assign_exactly(kLogits, kTokens, kExperts), best);
  EXPECT_NEAR(total(best), 12.21105, 1e-9);
  const std::vector<int32_t> auction = assign_by_auction(kLogits, kTokens, kExperts);
  for (int32_t e = 0; e < kExperts; ++e) EXPECT_EQ(std::count(auction.begin(), auction.end(), e), 2) << e;
  const auto [low, high] = std::minmax_element(kLogits.begin(), kLogits.end());
  EXPECT_GE(total(auction), total(best) - kTokens * (*high - *low) / 50);
}

// No exchange of two tokens, and no cycle of three, can gain: what an assignment that is best must satisfy; and beats the auction.
TEST(RouterNumbers, ExactAssignmentIsTheBest) {
  for (const auto& [tokens, experts] : {std::pair<int64_t, int64_t>{60, 5}, {61, 7}, {7, 7}, {3, 8}, {128, 2}}) {
    const RandomStream stream(static_cast<uint64_t>(tokens), "assignment");
    std::vector<double> score;
    for (int64_t i = 0; i < tokens * experts; ++i) score.push_back(stream.normal(static_cast<uint64_t>(i)));
    const std::vector<int32_t> expert = assign_exactly(score, tokens, experts);
    const auto at = [&, experts = experts](int64_t t, int32_t e) { return score[static_cast<size_t>(t * experts + e)]; };
    const auto value = [&, tokens = tokens](const std::vector<int32_t>& a) {
      double sum = 0;
      for (int64_t t = 0; t < tokens; ++t) sum += at(t, a[static_cast<size_t>(t)]);
      return sum;
    };
    for (int32_t e = 0; e < experts; ++e) EXPECT_LE(std::count(expert.begin(), expert.end(), e), (tokens + experts - 1) / experts);
    for (int64_t i = 0; i < tokens; ++i)
      for (int64_t j = 0; j < tokens; ++j) {
        const int32_t a = expert[static_cast<size_t>(i)], b = expert[static_cast<size_t>(j)];
        EXPECT_LE(at(i, b) + at(j, a), at(i, a) + at(j, b) + 1e-9);
        for (int64_t l = 0; l < std::min<int64_t>(tokens, 20); ++l) {
          const int32_t c = expert[static_cast<size_t>(l)];
          if (i != j && j != l && i != l) {
            EXPECT_LE(at(i, b) + at(j, c) + at(l, a), at(i, a) + at(j, b) + at(l, c) + 1e-9);
          }
        }
      }
    if (tokens % experts == 0) {
      EXPECT_GE(value(expert), value(assign_by_auction(score, tokens, experts)) - 1e-9);
    }
  }
}

TEST(RouterNumbers, HostileScoresStillAssignEvenly) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& score :
       {std::vector<double>(12, nan), std::vector<double>{inf, 1, -inf, nan, 2, 3, 0, 0, 0, 0, 0, 0}, std::vector<double>(12, 5.0)})
    for (const auto& expert : {assign_exactly(score, 6, 2), assign_by_auction(score, 6, 2)}) EXPECT_EQ(std::count(expert.begin(), expert.end(), 1), 3);
}

TEST(RouterNumbers, Sinkhorn) {
  // clang-format off
  const std::vector<double> expected{0.0348810613, 0.0080234584, 0.0270902577, 0.0550061392, 0.0449219642, 0.0026675285, 0.0105082115, 0.0669052627,
      0.035954288, 0.0432446654, 0.0389519369, 0.0068479486, 0.0051552495, 0.0373932812, 0.0174056638, 0.0650474036, 0.0898210832, 0.0140707089,
      0.0028616543, 0.0182500989, 0.0040548957, 0.0046680924, 0.114790086, 0.0014775359, 0.0266586921, 0.0484286113, 0.0370639722, 0.0128477157,
      0.0085527535, 0.0915036442, 0.0013282117, 0.0236178799};
  // clang-format on
  expect_near(sinkhorn(kLogits, kTokens, kExperts, 0, 10), expected, 1e-7);
}

TEST(RouterNumbers, BalancedHashTable) {
  const std::vector<double> frequency{30, 25, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1};
  EXPECT_EQ(balanced_table(frequency, 3, 1), (std::vector<int32_t>{0, 1, 2, 2, 2, 1, 0, 2, 1, 2, 0, 1}));
}

// Of two logits within 2ε of each other, relatively, both share; else the larger takes all.
TEST(RouterNumbers, Sparsemixer) {
  Bench b;
  const ModelSpec spec = tiny_spec({{"width", 4}});
  Parameters parameters(b.device.arena, DType::f64);
  Config cfg(Json{{"epsilon", 0.01}}, {.source = "test"});
  const auto router = build_sparsemixer({{parameters, spec, "r", 0}, 4, 2}, cfg);
  Tensor weight = parameters.find("r.router")->value;
  for (int64_t i = 0; i < 16; ++i) weight.data<double>()[i] = i % 5 == 0;  // the identity: x are the logits
  weight.changed();
  const Tensor x = b.tensor({1, 2, 4}, {2, 1.99, 1, 1, 2, 1.5, 1.49, -1}), ids = b.tape.zeros({1, 2}, DType::i32);
  Pass pass{.tape = b.tape, .ids_BT = ids};
  const ops::Routing r = router->route(pass, x);
  EXPECT_EQ(indices(r.index_Nk), (std::vector<int32_t>{0, 1, 0, 1}));
  expect_near(elements(r.weight_Nk), {.502500, 1, 1, .502500}, 1e-6);
}

}  // namespace
}  // namespace gamut
