// StarCoder2: LayerNorm, plain GELU layers and biases around grouped-query attention with rotation. [Lozhkov et al. 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 49152, .width = 3072, .layers = 30, .heads = 24, .kv_heads = 2, .hidden = 12288, .positions = 4096, .eps = 1e-5}, {.head_dim = nullptr, .eps = "norm_epsilon"});
  k.activation("hidden_act", d, "gelu_pytorch_tanh");
  k.only("mlp_type", "default", "another feed-forward layer");
  k.only("norm_type", "layer_norm", "another norm");
  biases(k, d, "use_bias", true);
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 0);
  rotation(k, d);
  common(k, d, true);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.gated = false;
  d.ffn_bias = d.attention[0].bias;
}
constexpr DecoderFamily kFamily{"starcoder2", "Starcoder2ForCausalLM", keys, {.up = "mlp.c_fc", .down = "mlp.c_proj"}};

}  // namespace

Family starcoder2() { return decoder_family<kFamily>("Grouped-query attention with rotation and a sliding window; LayerNorm, plain GELU layers and biases. [Lozhkov et al., StarCoder 2, 2024]"); }

}  // namespace gamut::family
