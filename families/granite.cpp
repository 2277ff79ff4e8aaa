// Granite: Llama with a factor on embedding, scores, branches and logits; and its mixtures of experts. [Granite Team 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void shared_keys(Keys& k, PlainDecoder& d, const char* hidden) {
  sizes(k, d, {.kv_heads = 0, .eps = 1e-6}, {.head_dim = nullptr, .hidden = hidden});
  biases(k, d, "attention_bias", false);
  k.number("embedding_multiplier", d.spec.embedding_scale, 1);
  k.number("attention_multiplier", d, &AttentionOptions::scale, 1);
  k.number("residual_multiplier", d.spec.residual_scale, 1);
  k.reciprocal("logits_scaling", d.logit_scale, 1);
  rotation(k, d);
  common(k, d, false);
}
void keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, "intermediate_size");
  k.activation("hidden_act", d, "silu");
  k.flag("mlp_bias", d.ffn_bias, false);
}
constexpr DecoderFamily kFamily{"granite", "GraniteForCausalLM", keys};

constexpr ExpertDialect kExperts{.count_key = "num_local_experts", .module = "block_sparse_moe", .router = "router.layer", .layout = ExpertDialect::Layout::fused,
                                 .fused_in = "input_linear.weight", .fused_out = "output_linear.weight"};
constexpr ExpertDialect kShared{.count_key = "num_local_experts", .shared_hidden_key = "shared_intermediate_size", .module = "block_sparse_moe", .router = "router.layer",
                                .layout = ExpertDialect::Layout::fused, .fused_in = "input_linear.weight", .fused_out = "output_linear.weight", .shared = "shared_mlp", .shared_beside = true,
                                .shared_in = "input_linear", .shared_out = "output_linear"};
template <const ExpertDialect& kDialect> void sparse_keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, nullptr);
  experts(k, d, kDialect);
}
constexpr DecoderFamily kMoe{"granitemoe", "GraniteMoeForCausalLM", sparse_keys<kExperts>, {}, nullptr, &kExperts},
    kMoeShared{"granitemoeshared", "GraniteMoeSharedForCausalLM", sparse_keys<kShared>, {}, nullptr, &kShared};

}  // namespace

Family granite() { return decoder_family<kFamily>("Llama with a factor each on the embedding, on scores, on what blocks add and on logits. [Granite Team, Granite 3.0, 2024]"); }
Family granitemoe() { return decoder_family<kMoe>("Granite with a mixture of experts in every layer. [Granite Team, Granite 3.0, 2024]"); }
Family granitemoeshared() { return decoder_family<kMoeShared>("Granite with a mixture of experts and a shared expert beside it in every layer. [Granite Team, Granite 4.0, 2025]"); }

}  // namespace gamut::family
