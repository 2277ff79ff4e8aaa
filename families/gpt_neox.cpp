// GPT-NeoX and Pythia: attention and feed-forward layer side by side, a part of each head rotates. [Black et al. 2022]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50432, .width = 6144, .layers = 44, .heads = 64, .hidden = 24576, .eps = 1e-5}, {.kv_heads = nullptr, .head_dim = nullptr, .eps = "layer_norm_eps"});
  k.activation("hidden_act", d, "gelu");
  biases(k, d, "attention_bias", true);
  residual(k, d, "use_parallel_residual", Residual::parallel, true);
  double theta = 10000, share = 0.25;
  if (k.reading()) {
    theta = k.config().take_in<double>("rotary_emb_base", theta, 1e-9, 1e30);
    share = k.config().take_in<double>("rotary_pct", share, 0, 1);
  } else {
    k.json().update({{"rotary_emb_base", d.attention[0].rotation.theta}, {"rotary_pct", static_cast<double>(d.attention[0].rotation.rotary) / static_cast<double>(d.attention[0].head_dim)}});
  }
  rotation(k, d, theta, true, share);
  common(k, d, false);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.gated = false;
  d.ffn_bias = true;
}
constexpr DecoderFamily kFamily{"gpt_neox", "GPTNeoXForCausalLM", keys,
                                {.embedding = "gpt_neox.embed_in", .layer = "gpt_neox.layers.", .final_norm = "gpt_neox.final_layer_norm", .head = "embed_out", .output = "attention.dense",
                                 .qkv = "attention.query_key_value", .grouped = true, .up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h",
                                 .ignored = {".attention.bias", ".attention.masked_bias"}}};

}  // namespace

Family gpt_neox() {
  return decoder_family<kFamily>("Attention and feed-forward layer side by side, each with its LayerNorm; a part of each head rotates; biases everywhere. [Black et al., GPT-NeoX-20B, 2022]");
}

}  // namespace gamut::family
