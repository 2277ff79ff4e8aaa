// StableLM: Llama with LayerNorm and heads that rotate in part. [Stability AI 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50304, .width = 2560, .layers = 32, .heads = 32, .kv_heads = 32, .hidden = 6912, .positions = 4096, .eps = 1e-5}, {.head_dim = nullptr, .eps = "layer_norm_eps"});
  k.activation("hidden_act", d, "silu");
  k.flag("use_qkv_bias", d, &AttentionOptions::bias, false);
  layer_norms(k, d, "qk_layernorm");
  residual(k, d, "use_parallel_residual", Residual::parallel_one_norm, false);
  rotation(k, d, 10000, true, 0.25);
  common(k, d, false);
  if (k.reading()) d.spec.norm = "layer";
}
constexpr DecoderFamily kFamily{
    "stablelm", "StableLmForCausalLM", keys, {.query_norm = "self_attn.q_layernorm.norms", .key_norm = "self_attn.k_layernorm.norms", .norm_by_head = true}};

}  // namespace

Family stablelm() { return decoder_family<kFamily>("Llama with LayerNorm, heads that rotate in part, and biases on queries, keys and values. [Bellagente et al., Stable LM 2, 2024]"); }

}  // namespace gamut::family
