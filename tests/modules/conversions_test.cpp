// Dense models made mixtures of experts and back: what a conversion promises of the logits is measured, and what it does not promise is looked for.
#include "modules/conversions/conversion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/linear.h"
#include "tiny_models.h"

namespace gamut {
namespace {

ThreadPool& pool() {
  static ThreadPool p(2);
  return p;
}

std::vector<double> logits(TinyModel& m, std::vector<RoutingRecord>* routing = nullptr) {
  Tape tape(m.device, Tape::Mode::inference);
  const int64_t vocab = m.model.spec().vocab;
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, random_ids(24, vocab), 2, 12, vocab), .routing = routing};
  Tensor source;
  if (m.model.has_encoder()) {
    Pass other{.tape = tape, .ids_BT = id_tensor(tape, random_ids(24, vocab, 2), 2, 12, vocab), .visibility = {.sight = {.causal = false}}};
    source = m.model.encode(other);
    pass.encoded_BSD = &source;
  }
  return elements(m.model.logits(pass, m.model.hidden(pass)));
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

Conversion up(const ModelSpec& dense, const Json& options) {
  Config cfg(options, {.source = "test"});
  Conversion c = upcycled(dense, cfg);
  cfg.finish();
  return c;
}

Conversion down(const ModelSpec& sparse, const Json& options, const std::vector<RoutingRecord>& use) {
  Config cfg(options, {.source = "test"});
  Conversion c = downcycled(sparse, cfg, use);
  cfg.finish();
  return c;
}

struct Child : TinyModel {
  Child(const Conversion& c, const TinyModel& parent, uint64_t seed = 5) : TinyModel(c.spec, pool()) {
    c.fill(parent.model.parameters(), model.parameters(), seed, pool());
  }
};

const Parameter& parameter(const TinyModel& m, const std::string& name) {
  for (const Parameter& p : m.model.parameters().all())
    if (p.name == name) return p;
  throw std::out_of_range(name);
}

const std::vector<Json>& parents() {
  static const std::vector<Json> all{
      Json::object(),
      {{"channel", {{"gated", false}, {"bias", true}, {"activation", "gelu"}}}, {"norm", "layer"}},
      {{"channel", {{"bias", true}}}, {"residual", "parallel"}},
  };
  return all;
}

// What is promised, and what is not, for parents with and without gates and biases.
TEST(Upcycling, PromisesHold) {
  struct Case {
    Json options;
    bool promised, equal;
  };
  const std::vector<Case> cases{
      {{{"experts", 4}}, true, true},
      {{{"experts", 3}, {"top_k", 1}, {"normalise", true}}, true, true},
      {{{"experts", 4}, {"top_k", 3}, {"moe", {{"router", {{"score", "sigmoid"}, {"balance", "none"}}}}}}, true, true},
      {{{"experts", 4}, {"shared", 0.25}}, true, true},
      {{{"experts", 4}, {"shared", 1}, {"method", "drop"}}, true, true},
      {{{"experts", 8}, {"granularity", 2}, {"top_k", 4}}, true, true},
      {{{"experts", 12}, {"granularity", 4}, {"top_k", 4}, {"shared", 0.5}}, true, true},
      {{{"experts", 8}, {"granularity", 2}, {"top_k", 4}, {"virtual_groups", false}}, false, false},
      {{{"experts", 8}, {"granularity", 2}, {"top_k", 4}, {"scaling", "none"}}, false, false},
      {{{"experts", 8}, {"granularity", 2}, {"top_k", 3}}, false, false},
      {{{"experts", 4}, {"normalise", false}, {"router_std", 1}}, false, false},
      {{{"experts", 4}, {"moe", {{"router", {{"kind", "sinkhorn"}}}}}}, false, false},
      {{{"experts", 4}, {"moe", {{"router", {{"scale", 2}}}}}}, false, false},
      {{{"experts", 4}, {"method", "drop"}}, false, false},
      {{{"experts", 4}, {"method", "noise"}}, false, false},
      {{{"experts", 4}, {"top_k", 1}, {"moe", {{"router", {{"kind", "hash"}}}}}}, false, true},
      // An undecided router's gates are k/E each, which scaling makes good.
      {{{"experts", 4}, {"normalise", false}, {"router_init", "zero"}}, false, true},
      {{{"experts", 8}, {"granularity", 2}, {"top_k", 4}, {"normalise", false}, {"router_init", "zero"}}, false, true},
  };
  for (const Json& changes : parents()) {
    TinyModel parent(tiny_spec(changes), pool());
    const std::vector<double> expected = logits(parent);
    for (const Case& c : cases) {
      const Conversion conversion = up(parent.model.spec(), c.options);
      Child child(conversion, parent);
      EXPECT_EQ(conversion.changes.empty(), c.promised) << c.options << changes << conversion.changes;
      if (c.equal) {
        EXPECT_LT(difference(logits(child), expected), 1e-12) << c.options << changes;
      } else {
        EXPECT_GT(difference(logits(child), expected), 1e-4) << c.options << changes;
      }
    }
  }
}

// s = G·E/T spread over three matrices, or two, is exact where the activation is homogeneous.
TEST(Upcycling, SpreadScaling) {
  const Json spread = {{"experts", 8}, {"granularity", 2}, {"top_k", 4}, {"scaling", "spread"}};
  for (const auto& [activation, gated, exact] : {std::tuple("relu", true, true), {"relu2", false, true}, {"relu", false, true}, {"silu", true, false}}) {
    TinyModel parent(tiny_spec({{"channel", {{"activation", activation}, {"gated", gated}, {"bias", true}}}}), pool());
    const Conversion conversion = up(parent.model.spec(), spread);
    Child child(conversion, parent);
    EXPECT_EQ(conversion.changes.empty(), exact) << activation;
    EXPECT_EQ(difference(logits(child), logits(parent)) < 1e-12, exact) << activation << gated;
  }
}

TEST(Upcycling, ChoosesLayers) {
  const ModelSpec spec = tiny_spec({{"layers", 6}});
  const auto converted = [&](const Json& options) {
    std::vector<std::string> names;
    for (const Conversion::Layer& layer : up(spec, options).layers) names.push_back(layer.prefix.substr(7, 1));
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(converted({{"every", 2}}), (Names{"1", "3", "5"}));
  EXPECT_EQ(converted({{"first", 3}}), (Names{"3", "4", "5"}));
  EXPECT_EQ(converted({{"first", 1}, {"every", 3}}), (Names{"3"}));
  EXPECT_EQ(converted({{"layers", {0, 5}}}), (Names{"0", "5"}));
  TinyModel parent(spec, pool());
  Child child(up(spec, {{"every", 2}}), parent);
  EXPECT_LT(difference(logits(child), logits(parent)), 1e-12);
}

TEST(Upcycling, EncodersToo) {
  TinyModel parent(tiny_encoder_decoder(), pool());
  const Conversion c = up(parent.model.spec(), {{"experts", 2}, {"top_k", 1}, {"normalise", true}, {"layers", {1}}});
  ASSERT_EQ(c.layers.size(), 2u);
  EXPECT_EQ(c.layers[0].prefix, "encoder.layers.1.channel");
  Child child(c, parent);
  EXPECT_LT(difference(logits(child), logits(parent)), 1e-12);
}

TEST(Upcycling, RoutersBeginAsTold) {
  TinyModel parent(tiny_spec({{"width", 64}}), pool());
  const auto router = [&](Json options) {
    options.update({{"experts", 32}, {"granularity", 4}});
    Child child(up(parent.model.spec(), options), parent);
    return elements(parameter(child, "layers.1.channel.router").value);
  };
  for (const auto& [init, kurtosis] : {std::pair("normal", 3.0), std::pair("uniform", 1.8)}) {
    const std::vector<double> w = router({{"router_init", init}, {"router_std", 0.5}, {"virtual_groups", false}});
    double mean = 0, square = 0, fourth = 0;
    for (const double x : w) mean += x / 2048, square += x * x / 2048, fourth += x * x * x * x / 2048;
    EXPECT_NEAR(mean, 0, 0.05);
    EXPECT_NEAR(std::sqrt(square), 0.5, 0.03) << init;
    EXPECT_NEAR(fourth / square / square, kurtosis, 0.25) << init;
  }
  const std::vector<double> tied = router({});
  for (int64_t e = 0; e < 32; ++e)
    for (int64_t other = 0; other < 32; ++other)
      EXPECT_EQ(std::equal(tied.begin() + e * 64, tied.begin() + (e + 1) * 64, tied.begin() + other * 64), e / 4 == other / 4) << e << ' ' << other;
  EXPECT_EQ(router({{"router_init", "zero"}}), std::vector<double>(2048));
}

// Which hidden units of expert e are the parent's, for each matrix.
std::vector<std::vector<bool>> kept_units(const TinyModel& parent, const TinyModel& child, int64_t e) {
  std::vector<std::vector<bool>> kept;
  for (const char* name : {"gate", "up", "down"}) {
    const std::vector<double> a = elements(parameter(parent, std::string("layers.0.channel.") + name).value),
                              b = elements(parameter(child, std::string("layers.0.channel.") + name).value);
    const bool rows = std::string(name) != "down";
    const int64_t h = 40, d = 8;
    kept.emplace_back();
    for (int64_t u = 0; u < h; ++u) {
      bool same = true;
      for (int64_t c = 0; c < d; ++c) {
        const int64_t at = rows ? u * d + c : c * h + u;
        same &= a[static_cast<size_t>(at)] == b[static_cast<size_t>(e * h * d + at)];
      }
      kept.back().push_back(same);
    }
  }
  return kept;
}

TEST(Upcycling, DropRedrawsWholeUnits) {
  TinyModel parent(tiny_spec({{"channel", {{"hidden", 40}}}}), pool());
  Json options = {{"experts", 4}, {"method", "drop"}, {"drop_share", 0.25}};
  Child child(up(parent.model.spec(), options), parent), again(up(parent.model.spec(), options), parent), other(up(parent.model.spec(), options), parent, 6);
  EXPECT_EQ(elements(parameter(child, "layers.0.channel.up").value), elements(parameter(again, "layers.0.channel.up").value));
  EXPECT_NE(elements(parameter(child, "layers.0.channel.up").value), elements(parameter(other, "layers.0.channel.up").value));
  std::vector<std::vector<bool>> of_experts;
  for (int64_t e = 0; e < 4; ++e) {
    const auto kept = kept_units(parent, child, e);
    EXPECT_EQ(std::count(kept[0].begin(), kept[0].end(), true), 30);
    EXPECT_EQ(kept[0], kept[1]);
    EXPECT_EQ(kept[0], kept[2]);
    of_experts.push_back(kept[0]);
  }
  EXPECT_NE(of_experts[0], of_experts[1]);
  options["drop_each"] = true;
  Child each(up(parent.model.spec(), options), parent);
  const auto kept = kept_units(parent, each, 0);
  EXPECT_EQ(std::count(kept[2].begin(), kept[2].end(), true), 30);
  EXPECT_NE(kept[0], kept[1]);
}

// All units redrawn: the statistics are those of what was there.
TEST(Upcycling, DropKeepsMeanAndDeviation) {
  TinyModel parent(tiny_spec({{"channel", {{"hidden", 400}}}}), pool());
  Parameter* up_weights = parent.model.parameters().find("layers.0.channel.up");
  for (int64_t i = 0; i < up_weights->value.elements(); ++i) up_weights->value.data<double>()[i] += 2;
  Child child(up(parent.model.spec(), {{"experts", 1}, {"top_k", 1}, {"normalise", true}, {"method", "drop"}, {"drop_share", 1}}), parent);
  const auto statistics = [](const std::vector<double>& v) {
    double mean = 0, square = 0;
    for (const double x : v) mean += x / static_cast<double>(v.size());
    for (const double x : v) square += (x - mean) * (x - mean) / static_cast<double>(v.size());
    return std::pair(mean, std::sqrt(square));
  };
  const auto before = statistics(elements(up_weights->value)), after = statistics(elements(parameter(child, "layers.0.channel.up").value));
  EXPECT_NEAR(after.first, before.first, 0.03);
  EXPECT_NEAR(after.second, before.second, 0.02);
}

TEST(Upcycling, NoiseFallsOnAShare) {
  TinyModel parent(tiny_spec({{"channel", {{"hidden", 400}}}}), pool());
  Child child(up(parent.model.spec(), {{"experts", 2}, {"method", "noise"}, {"noise_std", 0.1}, {"noise_share", 0.3}}), parent);
  const std::vector<double> a = elements(parameter(parent, "layers.0.channel.gate").value), b = elements(parameter(child, "layers.0.channel.gate").value);
  double moved = 0, square = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double change = b[i] - a[i % a.size()];
    moved += change != 0;
    square += change * change;
  }
  EXPECT_NEAR(moved / static_cast<double>(b.size()), 0.3, 0.02);
  EXPECT_NEAR(std::sqrt(square / moved), 0.1, 0.005);
}

TEST(Upcycling, RefusesWhatDoesNotFit) {
  const ModelSpec spec = tiny_spec();
  for (const auto& [options, part] : std::vector<std::pair<Json, std::string>>{
           {{{"experts", 6}, {"granularity", 4}}, "granularity"},
           {{{"experts", 10}, {"granularity", 5}}, "12 hidden units"},
           {{{"experts", 4}, {"top_k", 5}}, "top_k"},
           {{{"layers", {2}}}, "layer 2 of 2"},
           {{{"layers", {1}}, {"every", 2}}, "exclude"},
           {{{"method", "drip"}}, "drop"},
           {{{"drop_share", 0.5}}, "drop_share"},
           {{{"moe", {{"experts", 3}}}}, "moe.experts"},
           {{{"moe", 3}}, "must be a table"},
           {{{"first", 2}}, "none of the chosen layers"},
       }) {
    try {
      up(spec, options);
      ADD_FAILURE() << options;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

// What was made by copying or splitting comes back.
TEST(Downcycling, UndoesUpcycling) {
  for (const Json& changes : parents()) {
    TinyModel parent(tiny_spec(changes), pool());
    const std::vector<double> expected = logits(parent);
    for (const auto& [there, back] : std::vector<std::pair<Json, Json>>{
             {{{"experts", 4}}, {{"method", "merge"}}},
             {{{"experts", 4}}, {{"method", "merge"}, {"by", "uniform"}}},
             {{{"experts", 4}}, {{"method", "top"}, {"by", "load"}}},
             {{{"experts", 4}, {"shared", 0.5}}, {{"method", "top"}}},
             {{{"experts", 2}, {"granularity", 2}, {"top_k", 2}}, {{"method", "concat"}}},
             {{{"experts", 4}, {"normalise", false}, {"router_init", "zero"}}, {{"method", "merge"}}},
         }) {
      Child moe(up(parent.model.spec(), there), parent);
      std::vector<RoutingRecord> use;
      logits(moe, &use);
      Child dense(down(moe.model.spec(), back, use), moe);
      EXPECT_EQ(dense.model.spec().layers[1].channel.kind, "ffn");
      EXPECT_LT(difference(logits(dense), expected), 1e-12) << there << back << changes;
    }
  }
}

// A router that never takes expert 1: leaving it out changes nothing.
TEST(Downcycling, PruneKeepsWhatIsUsed) {
  for (const char* balance : {"none", "bias"}) {
    TinyModel moe(tiny_moe({{"bias", true}, {"shared_hidden", 4}, {"router", {{"balance", balance}, {"linear_bias", true}}}}), pool());
    for (const char* layer : {"layers.0", "layers.1"})
      moe.model.parameters().find(layer + std::string(".channel.router_linear_bias"))->value.data<double>()[1] = -1e3;
    moe.model.parameters().mark_changed();
    std::vector<RoutingRecord> use;
    const std::vector<double> expected = logits(moe, &use);
    EXPECT_EQ(use[0].load_E[1], 0);
    EXPECT_EQ(by_use(use[1], true).back(), 1);
    Child fewer(down(moe.model.spec(), {{"method", "prune"}, {"experts", 3}}, use), moe);
    EXPECT_EQ(fewer.model.spec().layers[0].channel.options["experts"], 3);
    EXPECT_LT(difference(logits(fewer), expected), 1e-12);
    Child half(down(moe.model.spec(), {{"method", "prune"}}, use), moe);
    EXPECT_GT(difference(logits(half), expected), 1e-4);
    Child same(down(moe.model.spec(), {{"method", "prune"}, {"experts", 4}}, use), moe);
    EXPECT_EQ(logits(same), expected);
  }
}

// A shared expert behind a gate becomes part of the dense layer with the mean of its gate.
TEST(Downcycling, GatedSharedExperts) {
  for (const Json& gate : {Json{{"shared_gate", true}}, Json{{"residual", true}}, Json{{"bias", true}, {"shared_bias", false}}, Json{{"shared_bias", true}}}) {
    Json options = {{"shared_hidden", 5}, {"experts", 1}, {"top_k", 1}, {"router", {{"normalise", true}}}};
    options.update(gate);
    TinyModel moe(tiny_moe(options), pool());
    for (Parameter& p : moe.model.parameters().all())  // gates that do not depend on the token
      if (p.name.find("shared_router") != std::string::npos || p.name.ends_with("shared_mix")) std::fill_n(p.value.data<double>(), p.value.elements(), 0.0);
    moe.model.parameters().mark_changed();
    std::vector<RoutingRecord> use;
    const std::vector<double> expected = logits(moe, &use);
    Child dense(down(moe.model.spec(), {{"method", "top"}}, use), moe);
    EXPECT_LT(difference(logits(dense), expected), 1e-12) << gate;
  }
}

TEST(Downcycling, RefusesWhatCannotBe) {
  const auto refused = [&](const Json& options, const Json& conversion, const std::string& part, bool measured = true) {
    TinyModel moe(tiny_moe(options), pool());
    std::vector<RoutingRecord> use;
    if (measured) logits(moe, &use);
    try {
      down(moe.model.spec(), conversion, use);
      ADD_FAILURE() << options << conversion;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused({{"router", {{"kind", "hash"}}}}, {{"method", "prune"}}, "places");
  refused({{"router", {{"groups", 2}}}}, {{"method", "prune"}}, "groups");
  refused({{"identity_experts", 1}}, {{"method", "merge"}}, "without weights");
  refused({{"weigh", "input"}}, {{"method", "merge"}}, "inputs");
  refused(Json::object(), {{"method", "prune"}, {"experts", 1}}, "top_k");
  refused(Json::object(), {{"method", "merge"}}, "measured", false);
}

}  // namespace
}  // namespace gamut
