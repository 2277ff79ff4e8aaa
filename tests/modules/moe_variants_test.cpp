// What surrounds routers in a mixture of experts, against plain sums over all experts.
#include <gtest/gtest.h>

#include "moe_layer.h"

namespace gamut {
namespace {

using Layer = MoeLayer;

double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

// down(silu(gate·in)∘up·in) of expert e, [D].
std::vector<double> expert_of(Layer& l, int64_t e, const std::vector<double>& in, const std::string& prefix = "", int64_t hidden = 6) {
  std::vector<double> h(static_cast<size_t>(hidden)), out(kWidth);
  const double *gate = l.weights((prefix + "gate").c_str()) + e * hidden * kWidth, *up = l.weights((prefix + "up").c_str()) + e * hidden * kWidth,
               *down = l.weights((prefix + "down").c_str()) + e * hidden * kWidth;
  for (int64_t i = 0; i < hidden; ++i) {
    const double g = std::inner_product(in.begin(), in.end(), gate + i * kWidth, 0.0);
    h[static_cast<size_t>(i)] = g * sigmoid(g) * std::inner_product(in.begin(), in.end(), up + i * kWidth, 0.0);
  }
  for (int64_t c = 0; c < kWidth; ++c) out[static_cast<size_t>(c)] = std::inner_product(h.begin(), h.end(), down + c * hidden, 0.0);
  return out;
}

std::vector<double> row_of(const Layer& l, int64_t t, double times = 1) {
  std::vector<double> row(l.x.begin() + t * kWidth, l.x.begin() + (t + 1) * kWidth);
  for (double& v : row) v *= times;
  return row;
}

void expect_rows(const Tensor& y, const std::vector<std::vector<double>>& rows) {
  for (int64_t t = 0; t < kTokens; ++t)
    for (int64_t c = 0; c < kWidth; ++c) ASSERT_NEAR(element(y, t * kWidth + c), rows[static_cast<size_t>(t)][static_cast<size_t>(c)], 1e-12) << "token " << t;
}

void add(std::vector<double>& to, double weight, const std::vector<double>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += weight * from[i];
}

TEST(MoeVariants, DenseMasksGiveTheSame) {
  Layer l(Json{{"router", {{"scale", 1.5}}}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    double partition = 0;
    for (int64_t j = 0; j < 2; ++j) partition += std::exp(l.dot(l.weights("router") + record.index_Nk[static_cast<size_t>(2 * t + j)] * kWidth, t));
    auto& row = rows.emplace_back(kWidth);
    for (int64_t e = 0; e < 4; ++e) {
      const bool chosen = record.index_Nk[static_cast<size_t>(2 * t)] == e || record.index_Nk[static_cast<size_t>(2 * t + 1)] == e;
      if (chosen) add(row, 1.5 * std::exp(l.dot(l.weights("router") + e * kWidth, t)) / partition, expert_of(l, e, row_of(l, t)));
    }
  }
  expect_rows(y, rows);
}

// σ(h) multiplies what the expert sees; the shared expert sees x.
TEST(MoeVariants, WeighedInput) {
  Layer l(Json{{"top_k", 1}, {"weigh", "input"}, {"shared_hidden", 5}, {"router", {{"score", "sigmoid"}, {"normalise", false}}}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    const int32_t e = record.index_Nk[static_cast<size_t>(t)];
    rows.push_back(expert_of(l, 0, row_of(l, t), "shared_", 5));
    add(rows.back(), 1, expert_of(l, e, row_of(l, t, sigmoid(l.dot(l.weights("router") + e * kWidth, t)))));
  }
  expect_rows(y, rows);
}

// Four real experts, one that gives nothing, two that give x; and softmax(W x + b) between them and the shared expert.
TEST(MoeVariants, WeightlessExpertsAndResidualMixing) {
  Layer l(Json{{"top_k", 4},
               {"zero_experts", 1},
               {"identity_experts", 2},
               {"shared_hidden", 5},
               {"residual", true},
               {"router", {{"score", "sigmoid"}, {"normalise", false}}}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  EXPECT_EQ(record.load_E.size(), 7u);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    const double *mix = l.weights("shared_mix"), *bias = l.weights("shared_mix_bias");
    const double routed = sigmoid(l.dot(mix, t) + bias[0] - l.dot(mix + kWidth, t) - bias[1]);
    auto& row = rows.emplace_back(kWidth);
    for (int64_t j = 0; j < 4; ++j) {
      const int32_t e = record.index_Nk[static_cast<size_t>(4 * t + j)];
      const double gate = routed * sigmoid(l.dot(l.weights("router") + e * kWidth, t));
      if (e < 4) add(row, gate, expert_of(l, e, row_of(l, t)));
      if (e >= 5) add(row, gate, row_of(l, t));
    }
    add(row, 1 - routed, expert_of(l, 0, row_of(l, t), "shared_", 5));
  }
  expect_rows(y, rows);
}

TEST(MoeVariants, ConstantExperts) {
  Layer l(Json{{"top_k", 5}, {"zero_experts", 1}, {"constant_experts", 2}, {"router", {{"score", "sigmoid"}, {"normalise", false}}}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    auto& row = rows.emplace_back(kWidth);
    for (int64_t i = 0; i < 5; ++i) {
      const int32_t e = record.index_Nk[static_cast<size_t>(5 * t + i)];
      const double gate = sigmoid(l.dot(l.weights("router") + e * kWidth, t));
      if (e < 4) add(row, gate, expert_of(l, e, row_of(l, t)));
      if (e < 5) continue;
      const double* mix = l.weights("constant_mix") + (e - 5) * 2 * kWidth;
      const double of_x = sigmoid(l.dot(mix, t) - l.dot(mix + kWidth, t));
      add(row, gate * of_x, row_of(l, t));
      for (int64_t c = 0; c < kWidth; ++c) row[static_cast<size_t>(c)] += gate * (1 - of_x) * l.weights("constant")[c * 2 + e - 5];
    }
  }
  expect_rows(y, rows);
}

// Experts of three dimensions between two projections; the router sees all eight.
TEST(MoeVariants, LatentSpace) {
  Layer l(Json{{"latent", 3}, {"shared_hidden", 5}});
  Tape tape(l.device, Tape::Mode::inference);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  EXPECT_EQ(l.parameters.find("c.gate")->value.shape(), (Shape{4, 6, 3}));
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    double low[3], sum[3] = {}, h[2];
    for (int i = 0; i < 3; ++i) low[i] = l.dot(l.weights("latent_down") + i * kWidth, t);
    const int32_t* e = &record.index_Nk[static_cast<size_t>(2 * t)];
    for (int j = 0; j < 2; ++j) h[j] = l.dot(l.weights("router") + e[j] * kWidth, t);
    for (int j = 0; j < 2; ++j)
      for (int u = 0; u < 6; ++u) {
        const int64_t at = e[j] * 18 + u * 3;
        const double g = std::inner_product(low, low + 3, l.weights("gate") + at, 0.0), up = std::inner_product(low, low + 3, l.weights("up") + at, 0.0);
        for (int i = 0; i < 3; ++i) sum[i] += sigmoid(h[j] - h[1 - j]) * l.weights("down")[e[j] * 18 + i * 6 + u] * g * sigmoid(g) * up;
      }
    auto& row = rows.emplace_back(kWidth);
    for (int64_t c = 0; c < kWidth; ++c) row[static_cast<size_t>(c)] = std::inner_product(sum, sum + 3, l.weights("latent_up") + c * 3, 0.0);
    add(row, 1, expert_of(l, 0, row_of(l, t), "shared_", 5));
  }
  expect_rows(y, rows);
}

// Capacity 0 leaves the residual alone; room for all is dropless, bit for bit.
TEST(MoeVariants, CapacityEnds) {
  Layer none(Json{{"capacity_factor", 1e-9}, {"capacity_formula", "floor"}, {"drop_when", "always"}}),
      all(Json{{"capacity", kTokens}, {"drop_when", "always"}}), plain(Json::object());
  Tape tape(none.device, Tape::Mode::inference), other(all.device, Tape::Mode::inference), third(plain.device, Tape::Mode::inference);
  for (const double v : elements(none.run(tape))) EXPECT_EQ(v, 0);
  EXPECT_EQ(elements(all.run(other)), elements(plain.run(third)));
}

TEST(MoeVariants, CapacityFormulas) {
  const auto slots = [](const char* formula, double factor, int64_t tokens, int64_t k, int64_t experts, int64_t least = 0) {
    Config cfg(Json{{"capacity_formula", formula}, {"capacity_factor", factor}, {"capacity_min", least}});
    return DropOptions::take(cfg).capacity(tokens, k, experts);
  };
  EXPECT_EQ(slots("ceil", 1.25, 10, 2, 8), 4);  // ⌈3.125⌉
  EXPECT_EQ(slots("floor", 1.25, 10, 2, 8), 3);
  EXPECT_EQ(slots("tutel", 1.25, 10, 2, 8), 4);    // 2·⌊1.25·2⌋
  EXPECT_EQ(slots("fairseq", 1.25, 10, 2, 8), 4);  // 2·⌈10/8⌉
  EXPECT_EQ(slots("tokens", 0.28, 30, 2, 4), 9);   // ⌈8.4⌉
  EXPECT_EQ(slots("ceil", 1, 4, 1, 8, 4), 4);      // at least
}

// Factors of training and of what comes after; sequences of which nothing is dropped in training.
TEST(MoeVariants, CapacityAfterTrainingAndExemptSequences) {
  const auto dropped = [](const Json& options, Tape::Mode mode) {
    Layer l(options);
    Tape tape(l.device, mode);
    RoutingRecord record;
    l.run(tape, &record);
    return record.dropped;
  };
  const Json limited = {{"capacity_factor", 0.5}, {"drop_when", "always"}};
  Json later = limited, exempt = limited;
  later["capacity_factor_later"] = 4.0;
  exempt["drop_exempt"] = 1.0;
  EXPECT_GT(dropped(limited, Tape::Mode::training), 0);
  EXPECT_EQ(dropped(later, Tape::Mode::training), dropped(limited, Tape::Mode::training));
  EXPECT_GT(dropped(limited, Tape::Mode::inference), 0);
  EXPECT_EQ(dropped(later, Tape::Mode::inference), 0);
  EXPECT_EQ(dropped(exempt, Tape::Mode::training), 0);
  EXPECT_GT(dropped(exempt, Tape::Mode::inference), 0);
  EXPECT_THROW(Layer(Json{{"capacity_factor_later", 2}}), Error);
  EXPECT_THROW(Layer(Json{{"capacity_devices", 3}}), Error);
}

// The mean squared cosine between what a token's two experts give; the result itself is as without.
TEST(MoeVariants, OutputOrthogonality) {
  const Json quiet = {{"balance", "none"}};
  Layer l(Json{{"output_orthogonality", 0.25}, {"router", quiet}}), plain(Json{{"router", quiet}});
  Tape tape(l.device, Tape::Mode::training), other(plain.device, Tape::Mode::training);
  RoutingRecord record;
  const std::vector<double> y = elements(l.run(tape, &record)), expected = elements(plain.run(other));
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], 1e-12);
  double mean = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto a = expert_of(l, record.index_Nk[static_cast<size_t>(2 * t)], row_of(l, t)),
               b = expert_of(l, record.index_Nk[static_cast<size_t>(2 * t + 1)], row_of(l, t));
    const auto product = [](const std::vector<double>& u, const std::vector<double>& v) { return std::inner_product(u.begin(), u.end(), v.begin(), 0.0); };
    mean += product(a, b) * product(a, b) / (product(a, a) * product(b, b)) / kTokens;
  }
  EXPECT_NEAR(tape.total_loss(), 0.25 * mean, 1e-12);
  EXPECT_GT(mean, 0);
}

TEST(MoeVariants, TrainingDropsAndDecodingDoesNot) {
  Layer l(Json{{"capacity", 1}});
  RoutingRecord training, inference;
  Tape tape(l.device, Tape::Mode::training), other(l.device, Tape::Mode::inference);
  l.run(tape, &training);
  l.run(other, &inference);
  EXPECT_GT(training.dropped, 0);
  EXPECT_EQ(inference.dropped, 0);
}

TEST(MoeVariants, KeptGatesCanBeMadeToSum) {
  Layer l(Json{{"capacity", 3}, {"drop_order", "choice"}, {"drop_when", "training"}, {"kept_sum", 0.8}, {"router", {{"normalise", false}}}});
  Tape tape(l.device, Tape::Mode::training);
  RoutingRecord record;
  const Tensor y = l.run(tape, &record);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < kTokens; ++t) {
    double sum = 0;
    auto& row = rows.emplace_back(kWidth);
    const auto score = [&](int64_t j) { return std::exp(l.dot(l.weights("router") + record.index_Nk[static_cast<size_t>(2 * t + j)] * kWidth, t)); };
    for (int64_t j = 0; j < 2; ++j) sum += record.index_Nk[static_cast<size_t>(2 * t + j)] >= 0 ? score(j) : 0;
    for (int64_t j = 0; j < 2; ++j)
      if (const int32_t e = record.index_Nk[static_cast<size_t>(2 * t + j)]; e >= 0) add(row, 0.8 * score(j) / sum, expert_of(l, e, row_of(l, t)));
  }
  expect_rows(y, rows);
}

}  // namespace
}  // namespace gamut
