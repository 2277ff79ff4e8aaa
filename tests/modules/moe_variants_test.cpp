// What surrounds routers in a mixture of experts, against plain sums over all experts; and what routers do between steps.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int64_t kTokens = 10, kWidth = 8, kVocab = 13;

struct Layer {
  explicit Layer(const Json& options, double spread = 0.3)
      : device(Device::real(pool)), spec(tiny_spec({{"init_std", spread}})), parameters(device.arena, DType::f64) {
    Json table = {{"experts", 4}, {"top_k", 2}, {"hidden", 6}};
    table.merge_patch(options);
    Config cfg(table, {.source = "test"});
    channel = build_moe({parameters, spec, "c", 0}, cfg);
    cfg.finish();
    parameters.initialise(2, pool);
    parameters.allocate_gradients();
    for (Parameter& p : parameters.all())
      if (p.role == Role::bias)
        for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] += 0.1 * std::sin(static_cast<double>(3 * i + 1));
    const RandomStream stream(4, "variants");
    for (int64_t i = 0; i < kTokens * kWidth; ++i) x.push_back(stream.normal(static_cast<uint64_t>(i)));
  }
  Tensor input(Tape& tape) {
    const Tensor t = tape.empty({1, kTokens, kWidth}, DType::f64);
    std::copy(x.begin(), x.end(), t.data<double>());
    return t;
  }
  Tensor run(Tape& tape, RoutingRecord* record = nullptr, std::shared_ptr<Tensor> losses = nullptr) {
    std::vector<RoutingRecord> records;
    Pass pass{.tape = tape,
              .ids_BT = id_tensor(tape, ids, 1, kTokens, kVocab),
              .seed = 5,
              .token_loss_N = std::move(losses),
              .routing = &records,
              .routing_choices = true};
    const Tensor y = channel->forward(pass, input(tape));
    if (record) *record = records.at(0);
    return y;
  }
  const double* weights(const char* name) { return parameters.find(std::string("c.") + name)->value.data<double>(); }
  double dot(const double* w, int64_t token) const { return std::inner_product(w, w + kWidth, x.begin() + token * kWidth, 0.0); }

  ThreadPool pool{1};
  Device device;
  ModelSpec spec;
  Parameters parameters;
  std::unique_ptr<ChannelMixer> channel;
  std::vector<double> x;
  std::vector<int32_t> ids = random_ids(kTokens, kVocab);
};

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

// The bias rests after its share of the run; centred changes sum to 0; proportional ones follow the gap.
// Steps with a state choose as the parallel pass does; a copy of the state continues alike.
TEST(MoeVariants, BigramsRememberTheTokenBefore) {
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
