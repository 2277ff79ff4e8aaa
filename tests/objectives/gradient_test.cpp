// Gradients of whole models against finite differences, in f64.
#include <gtest/gtest.h>

#include <algorithm>

#include "objectives/objective.h"
#include "tiny_models.h"

namespace gamut {
namespace {

struct Variant {
  std::string name;
  ModelSpec spec;
};

std::vector<Variant> variants() {
  const auto router = [](Json options) { return Json{{"router", std::move(options)}}; };
  const Json spans = {{"objective", {{"kind", "span_corruption"}, {"sentinels", 2}, {"rate", 0.4}, {"mean_span", 1}, {"specials", {0, 1, 11, 12}}}}};
  const Json first_bias = {{"kind", "attention"}, {"heads", 2}, {"rope", false}, {"scale", 1}, {"relative_bias", {{"buckets", 4}, {"max_distance", 3}}}}, shared_bias = {{"kind", "attention"}, {"heads", 2}, {"rope", false}, {"scale", 1}, {"relative_bias", {{"shared", true}}}};
  const Json cross = {{"kind", "cross_attention"}, {"heads", 2}, {"scale", 1}}, plain = {{"kind", "ffn"}, {"hidden", 9}, {"gated", false}, {"activation", "gelu"}};
  const auto with = [](Json a, const Json& b) {
    a.update(b);  // keeps null, which takes a key out of the tiny model's table
    return a;
  };
  return {
      {"dense", tiny_spec()},
      {"tied_embeddings", tiny_spec({{"tied", true}, {"embedding_scale", 1.7}})},
      {"layer_norm_biases_plain_gelu", tiny_spec({{"norm", "layer"}, {"mixer", {{"kv_heads", 2}, {"bias", true}}}, {"channel", {{"gated", false}, {"activation", "gelu"}, {"bias", true}}}})},
      {"post_norm", tiny_spec({{"norm_placement", "post"}, {"channel", {{"activation", "gelu_tanh"}}}})},
      {"normalised_stream_shares", tiny_spec({{"norm_placement", "stream"}, {"mixer_shares", {1.3, 0.7}}, {"channel_shares", {0.8, 1.2}}})},
      {"pre_norm_shares", tiny_spec({{"residual_scale", 0.9}, {"mixer_shares", {0.9, 0.7}}, {"channel_shares", {1.1, 1}}})},
      {"query_key_norm_window", tiny_spec({{"mixer", {{"qk_norm", "head"}, {"window", 3}}}})},
      {"norm_of_all_heads_scale_llama3", tiny_spec({{"mixer", {{"qk_norm", "all"}, {"kv_heads", 2}, {"scale", 0.3}, {"rope_scaling", {{"kind", "llama3"}, {"factor", 8}, {"original_positions", 8}}}}}})},
      {"learned_positions", tiny_spec({{"positions", "learned"}, {"mixer", {{"rope", false}}}})},
      {"partial_interleaved_rotation", tiny_spec({{"mixer", {{"rotary", 2}, {"rope_interleaved", true}, {"kv_heads", 2}}}})},
      {"no_rotation", tiny_spec({{"mixer", {{"rope", false}}}})},
      {"moe_switch_loss", tiny_moe(router({{"balance_loss", 0.3}}))},
      {"moe_z_loss_not_normalised", tiny_moe(router({{"normalise", false}, {"scale", 1.5}, {"balance_loss", 0.2}, {"z_loss", 0.1}}))},
      {"moe_switch_top1", tiny_moe({{"top_k", 1}, {"router", {{"kind", "switch"}, {"balance_loss", 0.3}, {"z_loss", 0.1}}}})},
      {"moe_sigmoid_loss_free_bias", tiny_moe(router({{"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", 0.01}, {"scale", 2.0}}))},
      {"moe_sigmoid_switch_loss", tiny_moe(router({{"score", "sigmoid"}, {"balance_loss", 0.3}, {"z_loss", 0.1}}))},
      {"moe_pooled_loss_tied", tiny_moe(router({{"balance", "pooled"}, {"balance_loss", 0.3}}), {{"tied", true}})},
      {"moe_shared_expert_post_norm", tiny_moe({{"shared_hidden", 5}}, {{"norm_placement", "post"}, {"mixer", {{"qk_norm", "head"}}}})},
      {"moe_capacity", tiny_moe({{"capacity_factor", 0.8}, {"router", {{"balance_loss", 0.3}}}})},
      {"moe_plain_relu2_biases", tiny_moe({{"gated", false}, {"activation", "relu2"}}, {{"mixer", {{"bias", true}}}})},
      {"bert_masked_pairs", tiny_spec({{"norm", "layer"}, {"norm_placement", "post"}, {"positions", "learned"}, {"embedding_norm", true}, {"token_types", 2}, {"tied", true},
                                       {"mixer", {{"rope", false}, {"bias", true}}}, {"channel", {{"gated", false}, {"activation", "gelu"}, {"bias", true}}},
                                       {"heads", {{{"kind", "vocabulary"}, {"transform", "gelu"}, {"bias", "trained"}}, {{"kind", "pooled"}, {"name", "seq_relationship_logits"}, {"classes", 2}}}},
                                       {"objective", {{"kind", "mlm+nsp"}, {"specials", {10, 11, 12}}, {"rate", 0.4}}}})},
      {"masked_words_moe", tiny_moe(router({{"balance_loss", 0.3}}), {{"init_std", 0.4}, {"objective", {{"kind", "mlm"}, {"specials", {10, 11, 12}}, {"rate", 0.4}}}})},
      {"multi_token_chained_experts",
       tiny_spec({{"heads", {{{"kind", "vocabulary"}}, {{"kind", "further"}, {"depth", 1}, {"mixer", {{"kind", "mla"}, {"heads", 2}, {"query_rank", 5}}}, {"channel", {{"kind", "moe"}, {"experts", 3}, {"top_k", 2}, {"hidden", 4}}}},
                             {{"kind", "further"}, {"depth", 2}, {"mixer", {{"kind", "attention"}, {"heads", 2}}}}}}, {"objective", {{"kind", "multi_token"}, {"weight", 0.8}}}})},
      {"multi_token_side_by_side_tied",
       tiny_spec({{"tied", true}, {"heads", {{{"kind", "vocabulary"}}, {{"kind", "further"}, {"chained", false}, {"mixer", {{"kind", "attention"}, {"heads", 2}}}, {"channel", {{"kind", "ffn"}, {"hidden", 7}}}}}},
                  {"objective", {{"kind", "multi_token"}, {"weight", 1}}}})},
      {"shortcut_with_identity_experts",
       tiny_spec(with({{"layers", {{{"mixer", {{"kind", "mla"}, {"heads", 2}}}, {"channel", {{"kind", "shortcut"}, {"now", {{"kind", "ffn"}, {"hidden", 6}}},
                                   {"later", {{"kind", "moe"}, {"experts", 3}, {"identity_experts", 2}, {"top_k", 2}, {"hidden", 4}}}}}},
                                  {{"mixer", {{"kind", "attention"}, {"heads", 2}}}, {"channel", {{"kind", "shortcut"}, {"now", {{"kind", "ffn"}, {"hidden", 6}}}}}}}}}, {{"mixer", nullptr}, {"channel", nullptr}}))},
      {"moe_hash", tiny_moe(router({{"kind", "hash"}}))},
      {"moe_frozen_random", tiny_moe(router({{"kind", "random"}}))},
      {"spans_in_two_stacks", tiny_encoder_decoder(spans)},
      {"spans_in_one_stack", tiny_spec(spans)},
      {"spans_shared_distance_bias_scaled_tied_head",
       tiny_spec(with(spans, {{"tied", true}, {"heads", {{{"kind", "vocabulary"}, {"scale", 0.4}}}},
                              {"layers", {{{"mixer", first_bias}, {"cross", cross}, {"channel", plain}}, {{"mixer", shared_bias}, {"cross", cross}, {"channel", plain}}}},
                              {"encoder", {{"layers", {{{"mixer", first_bias}, {"channel", plain}}, {{"mixer", shared_bias}, {"channel", plain}}}}}}, {"mixer", nullptr}, {"channel", nullptr}}))},
      {"denoising_post_norm_learned_positions_moe_encoder",
       tiny_encoder_decoder({{"objective", {{"kind", "denoising"}, {"permute", 0}, {"specials", {1, 0, 2}}}}, {"norm", "layer"}, {"norm_placement", "post"}, {"positions", "learned"}, {"position_offset", 2},
                             {"embedding_norm", true}, {"heads", {{{"kind", "vocabulary"}, {"bias", "fixed"}}}}, {"mixer", {{"rope", false}, {"bias", true}}}, {"cross", {{"bias", true}}},
                             {"encoder", {{"channel", {{"kind", "moe"}, {"experts", 3}, {"top_k", 2}, {"hidden", 5}}}}}})},
      {"moe_after_dense_layer", tiny_moe({{"top_k", 3}}, {{"dense_layers", {0}}, {"dense", {{"hidden", 10}}}})},
  };
}

const std::vector<Variant>& all_variants() {
  static const std::vector<Variant> list = variants();
  return list;
}

class ModelGradient : public testing::TestWithParam<size_t> {};

// Central differences of fourth order: the error of the quotient is about 1e-16·loss/step and step⁴.
TEST_P(ModelGradient, EqualsFiniteDifferences) {
  constexpr double kStep = 2e-4, kBound = 1e-6, kShare = 0.4;  // kShare: of a step's tokens in this micro-batch
  constexpr int64_t kRows = 2, kLength = 6, kElements = 60;    // kElements: tried of one tensor at most
  const ModelSpec& spec = all_variants()[GetParam()].spec;
  ThreadPool pool(1);
  TinyModel tiny(spec, pool);
  const auto objective = build_objective(spec.objective);
  objective->check(spec);
  const std::vector<int32_t> inputs = random_ids(kRows * kLength, spec.vocab);
  std::vector<int32_t> targets = random_ids(kRows * kLength, spec.vocab, 2);
  targets[3] = -1;  // ignored

  std::vector<RoutingRecord> routing;
  const auto run = [&](Tape& tape) {
    routing.clear();
    objective->loss(tiny.model, {.tape = tape, .loss_scale = kShare, .routing = &routing, .routing_choices = true}, objective->example({kRows, kLength, inputs, targets}, {.vocab = spec.vocab}), 1.0 / 25);
    return tape.total_loss();
  };
  const auto loss = [&] {
    Tape tape(tiny.device, Tape::Mode::training);
    return run(tape);
  };
  {
    Tape tape(tiny.device, Tape::Mode::training);
    run(tape);
    tape.backward();
  }
  std::vector<std::vector<int32_t>> choices;
  for (const RoutingRecord& r : routing) choices.push_back(r.index_Nk);
  std::vector<std::vector<double>> gradients;
  for (const Parameter& p : tiny.model.parameters().all()) gradients.push_back(p.trained ? elements(p.value.grad()->value) : std::vector<double>());

  size_t at = 0;
  for (Parameter& p : tiny.model.parameters().all()) {
    const std::vector<double>& gradient = gradients[at++];
    if (!p.trained) continue;
    double scale = 0;
    for (const double g : gradient) scale = std::max(scale, std::abs(g));
    EXPECT_GT(scale, 0) << p.name << " has no gradient";
    const int64_t stride = std::max<int64_t>(1, p.value.elements() / kElements);
    for (int64_t i = 0; i < p.value.elements(); i += stride) {
      double& x = p.value.data<double>()[i];
      const double before = x;
      const auto moved = [&](double step) {
        x = before + step;
        p.value.changed();
        const double value = loss();
        for (size_t l = 0; l < routing.size(); ++l) EXPECT_EQ(routing[l].index_Nk, choices[l]) << "a routing decision flips: choose another point";
        return value;
      };
      const double numeric = (8 * (moved(kStep) - moved(-kStep)) - (moved(2 * kStep) - moved(-2 * kStep))) / (12 * kStep);
      x = before;
      p.value.changed();
      ASSERT_NEAR(gradient[static_cast<size_t>(i)], numeric, kBound * scale + 2e-12) << p.name << " element " << i << " of largest " << scale;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelGradient, testing::Range<size_t>(0, all_variants().size()), [](const auto& which) { return all_variants()[which.param].name; });

TEST(Causal, CountsTargetsThatBearLoss) {
  const std::vector<int32_t> inputs{1, 2, 3, 4}, targets{2, -1, 4, -1};
  const auto causal = build_objective({"causal"});
  EXPECT_EQ(causal->weight(causal->example({2, 2, inputs, targets}, {})), 2);
}

TEST(Objectives, UnknownNameNamesTheNearest) {
  try {
    build_objective({"casual"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("causal"), std::string::npos) << error.what();
  }
}

// The loss by hand: −log softmax of the model's own logits.
TEST(Causal, LossIsTheNegativeLogLikelihoodOfTheNextToken) {
  ThreadPool pool(1);
  TinyModel tiny(tiny_spec(), pool);
  const std::vector<int32_t> inputs{1, 5, 7, 2, 9, 4}, targets{5, 7, -1, 9, 4, 0};
  Tape tape(tiny.device, Tape::Mode::inference);
  const auto causal = build_objective({"causal"});
  const ops::HeadLoss head = causal->loss(tiny.model, {.tape = tape}, causal->example({2, 3, inputs, targets}, {}), 0.2);
  Pass again{.tape = tape, .ids_BT = id_tensor(tape, inputs, 2, 3, 13), .visibility = {.sight = {.causal = true}}};
  const Tensor logits = tiny.model.logits(again, tiny.model.hidden(again));
  double sum = 0;
  for (int64_t t = 0; t < 6; ++t) {
    double nats = 0;
    if (targets[static_cast<size_t>(t)] >= 0) {
      double partition = 0;
      for (int64_t v = 0; v < 13; ++v) partition += std::exp(element(logits, t * 13 + v));
      nats = std::log(partition) - element(logits, t * 13 + targets[static_cast<size_t>(t)]);
    }
    EXPECT_NEAR(element(head.token_N, t), nats, 1e-12);
    sum += nats;
  }
  EXPECT_NEAR(element(head.loss, 0), 0.2 * sum, 1e-12);
}

}  // namespace
}  // namespace gamut
