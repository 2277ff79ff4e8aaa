// Phi-1 to Phi-2: attention and feed-forward layer side by side behind one norm, a part of each head rotates. [Li et al. 2023]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 51200, .width = 2048, .layers = 24, .heads = 32, .hidden = 8192, .eps = 1e-5}, {.head_dim = nullptr, .eps = "layer_norm_eps"});
  k.activation("hidden_act", d, "gelu_new");
  layer_norms(k, d, "qk_layernorm", QkNorm::layer_shared);
  rotation(k, d, 10000, true, 0.5);
  common(k, d, false);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) a.bias = a.output_bias = true;
  d.spec.norm = "layer";
  d.spec.residual = Residual::parallel_one_norm;
  d.gated = false;
  d.ffn_bias = d.head_bias = true;
}
constexpr DecoderFamily kFamily{"phi", "PhiForCausalLM", keys,
                                {.final_norm = "model.final_layernorm", .output = "self_attn.dense", .query_norm = "self_attn.q_layernorm", .key_norm = "self_attn.k_layernorm", .up = "mlp.fc1",
                                 .down = "mlp.fc2"}};

}  // namespace

Family phi() {
  return decoder_family<kFamily>("Attention and feed-forward layer side by side behind one LayerNorm; a part of each head rotates; biases everywhere, the head included. [Li et al., phi-1.5, 2023]");
}

}  // namespace gamut::family
