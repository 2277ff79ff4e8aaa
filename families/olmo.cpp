// OLMo: Llama with LayerNorm that has neither gain nor bias. [Groeneveld et al. 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50304, .kv_heads = 32, .eps = 1e-5}, {.head_dim = nullptr, .eps = nullptr});
  k.activation("hidden_act", d, "silu");
  biases(k, d, "attention_bias", false);
  k.number_or_null("clip_qkv", d, &AttentionOptions::clip, 0);
  rotation(k, d);
  common(k, d, false);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.spec.norm_gain = d.spec.norm_bias = false;
}
constexpr DecoderFamily kFamily{"olmo", "OlmoForCausalLM", keys};

}  // namespace

Family olmo() { return decoder_family<kFamily>("Llama with LayerNorm that has no weights; queries, keys and values may be cut off. [Groeneveld et al., OLMo, 2024]"); }

}  // namespace gamut::family
