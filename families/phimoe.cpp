// Phi-3.5-MoE: LayerNorm, biases in attention and head, two experts chosen one after the other. [Abdin et al. 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts",
                                 .experts = 16,
                                 .hidden = 6400,
                                 .router_kind = "sparsemixer",
                                 .module = "block_sparse_moe",
                                 .gate = "w1",
                                 .up = "w3",
                                 .down = "w2"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 32064, .kv_heads = 8, .positions = 4096 * 32, .eps = 1e-5}, {.head_dim = nullptr, .hidden = nullptr});
  biases(k, d, "attention_bias", false);
  k.flag("lm_head_bias", d.head_bias, false);
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 0);
  rotation(k, d, 1e6);
  common(k, d, false);
  experts(k, d, kExperts);
  k.number("router_jitter_noise", d.experts.nearness, 0.01, 0, 10);
  k.ignore({"input_jitter_noise"}, "noise in training of the original");
  k.ignore({"auto_map"}, "says nothing about what is computed");
  if (!k.reading()) return;
  d.spec.norm = "layer";
  // Of longer texts transformers changes the amplitude alone, and turns by the short factors at any length.
  for (AttentionOptions& a : d.attention) a.rotation.scaling.long_factors = a.rotation.scaling.short_factors;
}
constexpr DecoderFamily kFamily{"phimoe", "PhimoeForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family phimoe() {
  return decoder_family<kFamily>(
      "Two of sixteen experts chosen one after the other (sparsemixer); LayerNorm; biases in attention and head. [Abdin et al., Phi-3.5-MoE, 2024]");
}

}  // namespace gamut::family
