// Command R and Command R7B: attention and feed-forward layer side by side behind one norm, scaled logits. [Cohere 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void shared_keys(Keys& k, PlainDecoder& d, const SizeKeys& names) {
  sizes(k, d, {.vocab = 256000, .width = 8192, .layers = 40, .heads = 64, .hidden = 22528, .positions = 8192, .eps = 1e-5}, names);
  k.activation("hidden_act", d, "silu");
  biases(k, d, "attention_bias", false);
  k.number("logit_scale", d.logit_scale, 0.0625);
  common(k, d, true);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.spec.norm_bias = false;
  d.spec.residual = Residual::parallel_one_norm;
}
void pairs(Keys& k, PlainDecoder& d) {
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.interleaved = true;
}
void keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, {.head_dim = nullptr, .eps = "layer_norm_eps"});
  layer_norms(k, d, "use_qk_norm");
  k.ignore({"model_max_length"}, "the tokenizer's");
  rotation(k, d, 500000);
  pairs(k, d);
}
void keys2(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, {.eps = "layer_norm_eps"});
  int64_t pattern = 4;
  if (k.reading())
    for (const char* key : {"_sliding_window_pattern", "sliding_window_pattern"}) pattern = k.config().take_in<int64_t>(key, pattern, 1, 4096);
  windows(k, d, 4096, [&](size_t layer) { return (static_cast<int64_t>(layer) + 1) % pattern != 0; });
  k.ignore({"cache_implementation", "order_of_interleaved_layers", "position_embedding_type", "rotary_pct", "use_embedding_sharing", "use_gated_activation", "use_parallel_block",
            "use_parallel_embedding", "layer_switch"},
           "as the family always is");
  k.only("use_qk_norm", false, "normalised queries and keys");
  rotation(k, d, 10000);
  pairs(k, d);
  if (k.reading()) still_where(d, [&](size_t layer) { return d.attention[layer].window == 0; });
}
constexpr DecoderFamily kCohere{"cohere", "CohereForCausalLM", keys}, kCohere2{"cohere2", "Cohere2ForCausalLM", keys2};

}  // namespace

Family cohere() {
  return decoder_family<kCohere>("Attention and feed-forward layer side by side behind one LayerNorm without bias; pairs of neighbouring dimensions rotate; scaled logits, tied head. [Cohere, Command R, 2024]");
}
Family cohere2() { return decoder_family<kCohere2>("Command R with three sliding layers to one that sees all and has no positions. [Cohere, Command R7B, 2024]"); }

}  // namespace gamut::family
