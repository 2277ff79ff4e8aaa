// GLM-4: half of each head rotates, in pairs of neighbours; GLM-4-0414 adds norms behind each block. [GLM Team 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 151552, .layers = 40, .kv_heads = 2, .head_dim = 128, .hidden = 13696, .positions = 131072, .eps = 1.5625e-7});
  k.activation("hidden_act", d, "silu");
  k.flag("attention_bias", d, &AttentionOptions::bias, true);
  rotation(k, d, 10000, true, 0.5);
  common(k, d, false);
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.interleaved = true;
}
void keys4(Keys& k, PlainDecoder& d) {
  keys(k, d);
  if (k.reading()) d.spec.placement = NormPlacement::both;
}
constexpr DecoderFamily kGlm{"glm", "GlmForCausalLM", keys, {.gate_up = "mlp.gate_up_proj"}};
constexpr DecoderFamily kGlm4{"glm4", "Glm4ForCausalLM", keys4, {.mixer_post_norm = "post_self_attn_layernorm", .channel_post_norm = "post_mlp_layernorm", .gate_up = "mlp.gate_up_proj"}};

}  // namespace

Family glm() { return decoder_family<kGlm>("Llama with biases on queries, keys and values; half of each head rotates, in pairs of neighbours. [GLM Team, ChatGLM, 2024]"); }
Family glm4() { return decoder_family<kGlm4>("GLM with norms before and after each block. [GLM Team, GLM-4-0414, 2025]"); }

}  // namespace gamut::family
