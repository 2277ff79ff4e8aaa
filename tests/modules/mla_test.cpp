// Multi-head latent attention: its two forms, and what it remembers.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "modules/model.h"
#include "modules/registry.h"

namespace gamut {
namespace {

constexpr int64_t kWidth = 24, kHeads = 3, kNope = 10, kRotary = 6, kValue = 7, kLatent = 12;

struct Built {
  ThreadPool pool{2};
  Device device = Device::real(pool);
  Model model;
  explicit Built(const std::string& dtype, const Json& more = Json::object()) : model(spec(dtype, more), device) { model.parameters().initialise(3, pool); }
  static ModelSpec spec(const std::string& dtype, const Json& more) {
    ModelSpec s{.vocab = 29, .width = kWidth, .init_std = 0.3, .dtype = dtype};
    Json options = {{"heads", kHeads}, {"nope", kNope}, {"rotary", kRotary}, {"value", kValue}, {"latent", kLatent}};
    options.update(more);
    s.layers.assign(2, {{"mla", options}, {"ffn", {{"hidden", 32}}}});
    return s;
  }
  struct Piece {
    std::vector<double> hidden;
    bool absorbed;
  };
  Piece run(int64_t begin, int64_t end, std::vector<std::unique_ptr<MixerState>>* states) {
    std::vector<int32_t> ids;
    for (int64_t i = begin; i < end; ++i) ids.push_back(static_cast<int32_t>(RandomStream(4, "ids").below(static_cast<uint64_t>(i), 29)));
    Tape tape(device, Tape::Mode::inference);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 1, end - begin, 29), .offset = begin, .visibility = {.sight = {.causal = true}}, .states = states};
    const Tensor h = model.hidden(pass);
    Piece piece{{}, tape.ledger().contains("head_linear")};
    for (int64_t i = 0; i < h.elements(); ++i) piece.hidden.push_back(h.dtype() == DType::f64 ? h.data<double>()[i] : h.data<float>()[i]);
    return piece;
  }
};

TEST(Mla, AbsorbedIsExpanded) {
  for (const auto& [dtype, bound] : {std::pair("f64", 1e-12), std::pair("f32", 1e-5)})
    for (const Json& more : {Json{{"rope_interleaved", true}}, Json{{"query_rank", 9}, {"bias", true}, {"query_scale", 1.5}, {"latent_scale", 0.5}},
                             Json{{"mscale", 0.7}, {"rope_scaling", {{"kind", "yarn"}, {"factor", 4}, {"original_positions", 8}}}}, Json{{"rope", false}}}) {
      Built built(dtype, more);
      const Built::Piece whole = built.run(0, 40, nullptr);
      EXPECT_FALSE(whole.absorbed);
      Tape tape(built.device, Tape::Mode::inference);
      auto states = built.model.start(tape, 1, 4);
      std::vector<double> steps = built.run(0, 5, &states).hidden;
      for (int64_t t = 5; t < 40; ++t) {
        const Built::Piece step = built.run(t, t + 1, &states);
        EXPECT_TRUE(step.absorbed);
        steps.insert(steps.end(), step.hidden.begin(), step.hidden.end());
      }
      for (size_t i = 0; i < steps.size(); ++i) ASSERT_NEAR(steps[i], whole.hidden[i], bound) << dtype << more << " at " << i;
    }
}

// Σ over heads and positions written out, of one layer without a feed-forward layer.
TEST(Mla, ScoresAreScaledByTheWholeHeadAndMscale) {
  const Json scaling = {{"kind", "yarn"}, {"factor", 40}, {"original_positions", 8}};
  Built plain("f64", {{"rope_scaling", scaling}}), stretched("f64", {{"rope_scaling", scaling}, {"mscale", 1}});
  // Scores times m² are what queries times m² give.
  const double m = 0.1 * std::log(40.0) + 1;
  for (const Parameter& p : plain.model.parameters().all())
    if (p.name.ends_with("query_nope") || p.name.ends_with("query_rope"))
      for (double& w : Tensor(p.value).span<double>()) w *= m * m;
  const std::vector<double> a = plain.run(0, 20, nullptr).hidden, b = stretched.run(0, 20, nullptr).hidden;
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12);
}

TEST(Mla, RemembersLatentAndRotatedKeyAlone) {
  Built built("bf16");
  Tape tape(built.device, Tape::Mode::inference);
  auto states = built.model.start(tape, 1, 4);
  std::vector<int32_t> ids(9, 1);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 1, 9, 29), .visibility = {.sight = {.causal = true}}, .states = &states};
  built.model.hidden(pass);
  EXPECT_EQ(states[0]->bytes(), static_cast<size_t>(9 * (kLatent + kRotary) * 2));
}

}  // namespace
}  // namespace gamut
