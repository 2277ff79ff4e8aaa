// Granite: Llama with a factor on embedding, scores, branches and logits. [Granite Team 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.kv_heads = 0, .eps = 1e-6}, {.head_dim = nullptr});
  k.activation("hidden_act", d, "silu");
  biases(k, d, "attention_bias", false);
  k.flag("mlp_bias", d.ffn_bias, false);
  k.number("embedding_multiplier", d.spec.embedding_scale, 1);
  k.number("attention_multiplier", d, &AttentionOptions::scale, 1);
  k.number("residual_multiplier", d.spec.residual_scale, 1);
  k.reciprocal("logits_scaling", d.logit_scale, 1);
  rotation(k, d);
  common(k, d, false);
}
constexpr DecoderFamily kFamily{"granite", "GraniteForCausalLM", keys};

}  // namespace

Family granite() { return decoder_family<kFamily>("Llama with a factor each on the embedding, on scores, on what blocks add and on logits. [Granite Team, Granite 3.0, 2024]"); }

}  // namespace gamut::family
