// Granite: Llama with a factor on embedding, scores, branches and logits; its mixtures of experts, and those between Mamba-2 and attention. [Granite Team 2024]
#include "families/decoder.h"
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

void shared_keys(Keys& k, PlainDecoder& d, const char* hidden) {
  sizes(k, d, {.kv_heads = 0, .eps = 1e-6}, {.head_dim = nullptr, .hidden = hidden});
  biases(k, d, "attention_bias", false);
  k.number("embedding_multiplier", d.spec.embedding_scale, 1);
  if (!k.reading() || !k.config().is_null("attention_multiplier"))
    k.number("attention_multiplier", d, &AttentionOptions::scale, 1);
  else
    k.ignore({"attention_multiplier"}, "null: the usual scale");
  k.number("residual_multiplier", d.spec.residual_scale, 1);
  k.reciprocal("logits_scaling", d.logit_scale, 1);
  common(k, d, false);
}
void keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, "intermediate_size");
  rotation(k, d);
  k.activation("hidden_act", d, "silu");
  k.flag("mlp_bias", d.ffn_bias, false);
}
constexpr DecoderFamily kFamily{"granite", "GraniteForCausalLM", keys};

constexpr ExpertDialect kExperts{.count_key = "num_local_experts", .module = "block_sparse_moe", .router = "router.layer", .layout = ExpertDialect::Layout::fused,
                                 .fused_in = "input_linear.weight", .fused_out = "output_linear.weight"};
constexpr ExpertDialect kShared{.count_key = "num_local_experts", .shared_hidden_key = "shared_intermediate_size", .module = "block_sparse_moe", .router = "router.layer",
                                .layout = ExpertDialect::Layout::fused, .fused_in = "input_linear.weight", .fused_out = "output_linear.weight", .shared = "shared_mlp", .shared_beside = true,
                                .shared_in = "input_linear", .shared_out = "output_linear"};
constexpr ExpertDialect kHybrid = [] {
  ExpertDialect dialect = kShared;
  dialect.shared_hidden = 1024;
  return dialect;
}();
template <const ExpertDialect& kDialect> void sparse_keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, nullptr);
  rotation(k, d);
  experts(k, d, kDialect);
}
constexpr DecoderFamily kMoe{"granitemoe", "GraniteMoeForCausalLM", sparse_keys<kExperts>, {}, nullptr, &kExperts},
    kMoeShared{"granitemoeshared", "GraniteMoeSharedForCausalLM", sparse_keys<kShared>, {}, nullptr, &kShared};

// position_embedding_type: "rope", or heads that do not rotate.
void positions(Keys& k, PlainDecoder& d) {
  if (k.reading()) {
    const Json kind = k.config().take_json("position_embedding_type");
    if (!kind.is_null() && kind != "rope" && kind != "nope") k.config().reject("position_embedding_type", "is " + kind.dump() + "; expected \"rope\" or \"nope\"");
    if (kind == "rope") rotation(k, d);
    else
      k.ignore({"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "original_max_position_embeddings"}, "nothing rotates");
    return;
  }
  k.json()["position_embedding_type"] = d.attention[0].rope ? "rope" : "nope";
  if (d.attention[0].rope) rotation(k, d);
}
// Without experts the shared one is alone.
void hybrid_keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, nullptr);
  positions(k, d);
  mamba2_keys(k, d.spec, d.other);
  other_layers(k, d, [](size_t) { return true; });
  int64_t count = d.sparse.empty() ? 0 : d.experts.count;
  k.integer("num_local_experts", count, 8, 0, 1 << 16);
  if (count > 0) {
    experts(k, d, kHybrid);
  } else {
    k.integer("shared_intermediate_size", d.hidden, kHybrid.shared_hidden);
    k.activation("hidden_act", d, "silu");
    k.ignore({"intermediate_size", "num_experts_per_tok", "num_experts", "router_aux_loss_coef", "output_router_logits"}, "there are no experts");
  }
}
void name_other(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec&, size_t) { name_mamba2(map, theirs + "mamba.", ours); }
constexpr DecoderFamily kMoeHybrid{"granitemoehybrid", "GraniteMoeHybridForCausalLM", hybrid_keys, {.down = "shared_mlp.output_linear", .gate_up = "shared_mlp.input_linear"}, nullptr, &kHybrid, name_other};

}  // namespace

Family granite() { return decoder_family<kFamily>("Llama with a factor each on the embedding, on scores, on what blocks add and on logits. [Granite Team, Granite 3.0, 2024]"); }
Family granitemoe() { return decoder_family<kMoe>("Granite with a mixture of experts in every layer. [Granite Team, Granite 3.0, 2024]"); }
Family granitemoeshared() { return decoder_family<kMoeShared>("Granite with a mixture of experts and a shared expert beside it in every layer. [Granite Team, Granite 4.0, 2025]"); }
Family granitemoehybrid() {
  return decoder_family<kMoeHybrid>("Granite's mixtures of experts, or one feed-forward layer, behind Mamba-2 in most layers and attention in some. [Granite Team, Granite 4.0, 2025]");
}

}  // namespace gamut::family
