// Gemma 2: norms before and after each block, soft caps on scores and logits, every other layer sliding. [Gemma Team 2024]
#include <cmath>

#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 256000, .width = 2304, .layers = 26, .heads = 8, .kv_heads = 4, .head_dim = 256, .hidden = 9216, .positions = 8192});
  k.activation("hidden_activation", d, "gelu_pytorch_tanh");
  k.only("hidden_act", "gelu_pytorch_tanh", "another activation");
  k.only("use_bidirectional_attention", false, "attention to both sides");
  k.ignore({"cache_implementation"}, "how others keep keys and values");
  biases(k, d, "attention_bias", false);
  query_scalar(k, d, 256);
  windows(k, d, 4096, [](size_t layer) { return layer % 2 == 0; });
  k.number_or_null("attn_logit_softcapping", d, &AttentionOptions::softcap, 50);
  k.number_or_null("final_logit_softcapping", d.logit_softcap, 30);
  rotation(k, d);
  common(k, d, true);
  if (!k.reading()) return;
  d.spec.embedding_scale = std::sqrt(static_cast<double>(d.spec.width));
  d.spec.placement = NormPlacement::both;
}
constexpr DecoderFamily kFamily{"gemma2", "Gemma2ForCausalLM", keys,
                                {.mixer_post_norm = "post_attention_layernorm", .channel_norm = "pre_feedforward_layernorm", .channel_post_norm = "post_feedforward_layernorm", .centre = 1}};

}  // namespace

Family gemma2() {
  return decoder_family<kFamily>("Gemma with norms before and after each block, soft caps on scores and logits, and a sliding window in every other layer. [Gemma Team, Gemma 2, 2024]");
}

}  // namespace gamut::family
