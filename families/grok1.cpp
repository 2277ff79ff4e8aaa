// Grok-1: norms before and after each block, a soft cap on scores, two of eight experts whose gates are not divided by their sum. [xAI 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.activation_key = nullptr,
                                 .hidden = 32768,
                                 .normalise = false,
                                 .activation = "gelu_tanh",
                                 .module = "moe_block",
                                 .gate = "linear",
                                 .up = "linear_v",
                                 .down = "linear_1"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.positions = 4096, .eps = 1e-5}, {.head_dim = nullptr, .hidden = nullptr});
  k.number("attn_output_multiplier", d, &AttentionOptions::scale, 1);
  k.number("max_attn_value", d, &AttentionOptions::softcap, 1);
  k.number("embedding_multiplier_scale", d.spec.embedding_scale, 1);
  k.number("output_multiplier_scale", d.logit_scale, 1);
  rotation(k, d);
  k.ignore({"auto_map"}, "says nothing about what is computed");
  common(k, d, true);
  experts(k, d, kExperts);
  if (k.reading()) d.spec.placement = NormPlacement::both;
}
constexpr DecoderFamily kFamily{"grok-1",
                                "Grok1ModelForCausalLM",
                                keys,
                                {.mixer_norm = "pre_attn_norm",
                                 .mixer_post_norm = "post_attn_norm",
                                 .channel_norm = "pre_moe_norm",
                                 .channel_post_norm = "post_moe_norm",
                                 .query = "attn.q_proj",
                                 .key = "attn.k_proj",
                                 .value = "attn.v_proj",
                                 .output = "attn.o_proj",
                                 .gain = ".scale"},
                                nullptr,
                                &kExperts};

}  // namespace

Family grok1() {
  return decoder_family<kFamily>(
      "Mixtures of experts with norms before and after each block and a soft cap on scores; factors on embedding, scores and logits. [xAI, Grok-1, 2024]");
}

}  // namespace gamut::family
