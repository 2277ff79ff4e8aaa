// What every model keeps: nothing sees the future, decoding by steps or chunks equals the parallel pass, batch-mates and threads
// have no influence, and a mixture of experts starts at the scale of its dense twin.
#include <gtest/gtest.h>

#include <algorithm>

#include "tiny_models.h"

namespace gamut {
namespace {

struct Variant {
  std::string name;
  ModelSpec spec;
};

std::vector<Variant> variants() {
  const Json shapes = {{"vocab", 61}, {"width", 32}, {"mixer", {{"heads", 4}, {"kv_heads", 2}}}};
  const auto dense = [&](Json changes) {
    Json all = shapes;
    all["channel"] = {{"hidden", 40}};
    all.merge_patch(changes);
    return tiny_spec(all);
  };
  const auto moe = [&](Json options, Json changes = Json::object()) {
    Json all = shapes;
    all.merge_patch(changes);
    Json channel = {{"hidden", 24}};
    channel.merge_patch(options);
    return tiny_moe(channel, all);
  };
  return {
      {"dense", dense(Json::object())},
      {"window_query_key_norm", dense({{"mixer", {{"window", 5}, {"qk_norm", "head"}}}})},
      {"norm_of_all_heads_yarn", dense({{"mixer", {{"qk_norm", "all"}, {"rope_scaling", {{"kind", "yarn"}, {"factor", 4}, {"original_positions", 8}}}}}})},
      {"learned_positions", dense({{"positions", "learned"}, {"mixer", {{"rope", false}}}})},
      {"sinusoidal_positions", dense({{"positions", "sinusoidal"}, {"mixer", {{"rope", false}}}})},
      {"sinusoidal_positions_from_two", dense({{"positions", "sinusoidal_t2t"}, {"position_offset", 2}, {"mixer", {{"rope", false}}}})},
      {"multi_query_no_rotation_post_norm", dense({{"norm_placement", "post"}, {"mixer", {{"kv_heads", 1}, {"rope", false}}}})},
      {"normalised_stream_shares", dense({{"norm_placement", "stream"}, {"mixer_shares", {1.3, 0.7}}, {"channel_shares", {0.8, 1.2}}})},
      {"narrow_embedding_tied", dense({{"embedding_width", 12}, {"tied", true}, {"positions", "learned"}, {"heads", Json::array({{{"kind", "vocabulary"}, {"narrow", true}}})}})},
      {"narrow_embedding_untied_post_norm", dense({{"embedding_width", 12}, {"tied", false}, {"norm_placement", "post"}, {"embedding_norm", true}})},
      {"layer_norm_biases", dense({{"norm", "layer"}, {"mixer", {{"bias", true}}}, {"channel", {{"gated", false}, {"activation", "gelu"}, {"bias", true}}}})},
      {"moe", moe(Json::object())},
      {"moe_sigmoid_bias_shared", moe({{"shared_hidden", 16}, {"router", {{"score", "sigmoid"}, {"balance", "bias"}}}})},
      {"moe_switch", moe({{"top_k", 1}, {"router", {{"kind", "switch"}}}})},
      {"moe_hash", moe({{"router", {{"kind", "hash"}}}})},
      {"moe_hierarchical", moe({{"experts", 8}, {"top_k", 4}, {"router", {{"kind", "hierarchical"}, {"groups", 4}, {"group_k", 2}}}})},
      {"moe_biases_cut", moe({{"bias", true}, {"output_bias", true}, {"activation", "quick_gelu"}, {"limit", 0.5}, {"up_shift", 1}, {"router", {{"linear_bias", true}}}})},
      {"moe_weighed_input", moe({{"top_k", 1}, {"weigh", "input"}, {"shared_hidden", 16}, {"router", {{"score", "sigmoid"}, {"normalise", false}}}})},
      {"moe_residual_identity", moe({{"top_k", 3}, {"zero_experts", 1}, {"identity_experts", 2}, {"shared_hidden", 16}, {"residual", true}, {"router", {{"normalise", false}}}})},
      {"moe_groups", moe({{"experts", 8}, {"top_k", 3}, {"router", {{"score", "sigmoid"}, {"groups", 4}, {"kept_groups", 2}, {"group_score", "sum2"}, {"balance", "bias"}}}})},
  };
}

const std::vector<Variant>& all_variants() {
  static const std::vector<Variant> list = variants();
  return list;
}

// Logits [B·T·V] of one parallel pass.
std::vector<double> logits_of(TinyModel& tiny, const std::vector<int32_t>& ids, int64_t rows) {
  Tape tape(tiny.device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, rows, static_cast<int64_t>(ids.size()) / rows, tiny.model.spec().vocab)};
  return elements(tiny.model.logits(pass, tiny.model.hidden(pass)));
}

class ModelLaw : public testing::TestWithParam<std::tuple<size_t, std::string>> {
 protected:
  ModelLaw() : spec(all_variants()[std::get<0>(GetParam())].spec) { spec.dtype = std::get<1>(GetParam()); }
  static constexpr int64_t kLength = 19;
  ModelSpec spec;
  ThreadPool pool{1};
};

TEST_P(ModelLaw, NoTokenSeesTheFuture) {
  TinyModel tiny(spec, pool);
  std::vector<int32_t> ids = random_ids(kLength, spec.vocab);
  const std::vector<double> before = logits_of(tiny, ids, 1);
  for (const int64_t changed : {int64_t{1}, int64_t{7}, kLength - 1}) {
    std::vector<int32_t> other = ids;
    other[static_cast<size_t>(changed)] = static_cast<int32_t>((ids[static_cast<size_t>(changed)] + 1) % spec.vocab);
    const std::vector<double> after = logits_of(tiny, other, 1);
    const auto end = static_cast<int64_t>(changed * spec.vocab);
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + end, after.begin())) << "token " << changed << " changed an earlier output";
    EXPECT_FALSE(std::equal(before.begin() + end, before.begin() + end + spec.vocab, after.begin() + end)) << "token " << changed << " has no influence on its own output";
  }
}

TEST_P(ModelLaw, BatchMatesAndThreadsHaveNoInfluence) {
  TinyModel tiny(spec, pool);
  const std::vector<int32_t> ids = random_ids(3 * kLength, spec.vocab);
  const std::vector<double> together = logits_of(tiny, ids, 3);
  std::vector<double> alone;
  for (int64_t row = 0; row < 3; ++row) {
    const std::vector<double> one = logits_of(tiny, {ids.begin() + row * kLength, ids.begin() + (row + 1) * kLength}, 1);
    alone.insert(alone.end(), one.begin(), one.end());
  }
  EXPECT_EQ(alone, together);
  ThreadPool two(2), three(3);
  TinyModel on_two(spec, two), on_three(spec, three);
  EXPECT_EQ(logits_of(on_two, ids, 3), together);
  EXPECT_EQ(logits_of(on_three, ids, 3), together);
}

// One token at a time, and in chunks of unequal length, against the parallel pass; then back to a snapshot and on with other tokens.
TEST_P(ModelLaw, StepsAndChunksEqualTheParallelPass) {
  TinyModel tiny(spec, pool);
  constexpr int64_t kRows = 2;
  const int64_t v = spec.vocab;
  const std::vector<int32_t> ids = random_ids(kRows * kLength, v);
  const std::vector<double> parallel = logits_of(tiny, ids, kRows);
  const double bound = spec.dtype == "f64" ? 1e-12 : spec.dtype == "f32" ? 2e-5 : 0.05;
  using States = std::vector<std::unique_ptr<MixerState>>;
  Tape tape(tiny.device, Tape::Mode::inference);
  const auto forward = [&](States& states, int64_t first, int64_t count) {
    std::vector<int32_t> chunk;
    for (int64_t r = 0; r < kRows; ++r) chunk.insert(chunk.end(), ids.begin() + r * kLength + first, ids.begin() + r * kLength + first + count);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, chunk, kRows, count, v), .offset = first, .states = &states};
    const Tensor logits = tiny.model.logits(pass, tiny.model.hidden(pass));
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t i = 0; i < count * v; ++i)
        ASSERT_NEAR(element(logits, r * count * v + i), parallel[static_cast<size_t>((r * kLength + first) * v + i)], bound) << "position " << first + i / v;
  };
  States steps = tiny.model.start(tape, kRows, 4);  // grows on the way
  for (int64_t t = 0; t < kLength; ++t) forward(steps, t, 1);
  States chunks = tiny.model.start(tape, kRows, kLength);
  forward(chunks, 0, 7);
  States snapshot;
  for (const auto& s : chunks) snapshot.push_back(s ? s->clone() : nullptr);  // components without memory have none
  forward(chunks, 7, 1);
  forward(chunks, 8, 11);
  EXPECT_EQ(chunks[0]->length(), kLength);
  for (auto& s : chunks) ASSERT_TRUE(!s || s->truncate(10));
  forward(chunks, 10, 9);
  forward(snapshot, 7, 12);
  EXPECT_GT(snapshot[0]->bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, ModelLaw, testing::Combine(testing::Range<size_t>(0, all_variants().size()), testing::Values("f64", "f32", "bf16")),
                         [](const auto& which) { return all_variants()[std::get<0>(which.param)].name + "_" + std::get<1>(which.param); });

// Root mean square of what a layer adds to the residual stream at the start of training.
double branch_scale(const ModelSpec& spec, uint64_t seed) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  Model model(spec, device);
  model.parameters().initialise(seed, pool);
  Tape tape(device, Tape::Mode::inference);
  std::vector<Tensor> hidden;
  constexpr int64_t kTokens = 512;
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, random_ids(kTokens, spec.vocab, seed), 4, kTokens / 4, spec.vocab), .hidden_states = &hidden};
  // With the mixer's output map at zero the difference of neighbouring states is the channel mixer's output alone.
  for (Parameter& p : model.parameters().all())
    if (p.name.ends_with("mixer.output")) {
      std::fill_n(p.value.data<float>(), p.value.elements(), 0.0f);
      p.value.changed();
    }
  model.hidden(pass);
  double squares = 0;
  for (int64_t i = 0; i < hidden[0].elements(); ++i) squares += std::pow(element(hidden[1], i) - element(hidden[0], i), 2);
  return std::sqrt(squares / static_cast<double>(hidden[0].elements()));
}

// Gates that sum to k make k experts of width h/k add up to what a dense layer of width h puts out, whatever the router.
TEST(MixtureOfExperts, StartsAtTheScaleOfItsDenseTwin) {
  const Json shapes = {{"vocab", 256}, {"width", 64}, {"max_positions", 128}, {"dtype", "f32"}, {"init_std", 0.02}, {"mixer", {{"heads", 4}, {"kv_heads", 4}}}};
  Json dense = shapes;
  dense["channel"] = {{"hidden", 192}};
  const auto moe = [&](Json router) { return tiny_moe({{"experts", 8}, {"top_k", 2}, {"hidden", 96}, {"router", std::move(router)}}, shapes); };
  for (const uint64_t seed : {1, 2}) {
    const double expected = branch_scale(tiny_spec(dense), seed);
    EXPECT_NEAR(branch_scale(moe({{"scale", 2.0}}), seed) / expected, 1, 0.1);
    EXPECT_NEAR(branch_scale(moe({{"scale", 2.0}, {"score", "sigmoid"}, {"balance", "bias"}}), seed) / expected, 1, 0.1);
    EXPECT_NEAR(branch_scale(moe({{"kind", "hash"}, {"scale", 2.0}}), seed) / expected, 1, 0.1);
    EXPECT_NEAR(branch_scale(moe({{"kind", "random"}, {"scale", 2.0}}), seed) / expected, 1, 0.1);
    EXPECT_NEAR(branch_scale(moe({{"scale", 1.0}}), seed) / expected, 0.5, 0.05) << "gates that sum to 1 halve the output";
  }
}

TEST(Model, CountsActiveParameters) {
  ThreadPool pool(1);
  const Device device = Device::shapes_only(pool);
  const Model moe(tiny_moe(), device), dense(tiny_spec(), device);
  // embedding and head 13·8 each; a layer: norms 2·8, query and output 8·8 each, key and value 4·8 each; ffn 3·12·8; final norm 8.
  EXPECT_EQ(dense.parameters().total(), 2 * 104 + 2 * (16 + 192 + 288) + 8);
  EXPECT_EQ(dense.parameters().active(), 104 + 2 * (16 + 192 + 288) + 8);
  EXPECT_EQ(dense.parameters().active_matrix(), 104 + 2 * (192 + 288));
  EXPECT_EQ(moe.parameters().total(), 2 * 104 + 2 * (16 + 192 + 32 + 4 * 144) + 8);
  EXPECT_EQ(moe.parameters().active_matrix(), 104 + 2 * (192 + 32 + 2 * 144));
}

TEST(Model, TiedHeadIsTheEmbedding) {
  ThreadPool pool(1);
  const Model tied(tiny_spec({{"tied", true}}), Device::shapes_only(pool));
  EXPECT_EQ(tied.parameters().total(), 104 + 2 * (16 + 192 + 288) + 8);
  EXPECT_EQ(tied.parameters().all()[0].role, Role::head);
}

std::string refusal(const Json& changes) {
  ThreadPool pool(1);
  try {
    const Model model(tiny_spec(changes), Device::shapes_only(pool));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Model, RefusesWhatCannotBe) {
  const auto says = [](const Json& changes, const std::string& part) { EXPECT_NE(refusal(changes).find(part), std::string::npos) << changes.dump() << ": " << refusal(changes); };
  says({{"channel", {{"kind", "moe"}, {"experts", 2}, {"top_k", 3}}}}, "more than the 2 experts");
  says({{"channel", {{"kind", "mole"}}}}, "moe");
  says({{"channel", {{"hiden", 3}}}}, "hidden");
  says({{"mixer", {{"heads", 3}}}}, "heads");
  says({{"mixer", {{"heads", 4}, {"kv_heads", 3}}}}, "kv_heads");
  says({{"channel", {{"kind", "moe"}, {"top_k", 1}}}}, "normalise");
  says({{"channel", {{"kind", "moe"}, {"router", {{"kind", "switch"}}}}}}, "top_k is 2");
  says({{"dense_layers", {5}}}, "layer 5");
  says({{"layers", 0}}, "layers");
}

TEST(ModelSpec, SurvivesBeingWrittenAndRead) {
  for (const Variant& v : all_variants()) {
    Config cfg(v.spec.to_json(), {.source = "test"});
    EXPECT_EQ(ModelSpec::from_config(cfg), v.spec) << v.name;
    cfg.finish();
  }
}

}  // namespace
}  // namespace gamut
