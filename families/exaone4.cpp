// EXAONE 4: norms behind each block, queries and keys normalised; layers that see all have no positions. [LG AI Research 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 102400, .kv_heads = 32, .hidden = 16384, .eps = 1e-5});
  k.activation("hidden_act", d, "silu");
  windows(k, d, 4096, k.reading() ? window_pattern(k.config(), 4, d.attention.size()) : nullptr);
  rotation(k, d);
  common(k, d, false);
  if (!k.reading()) return;
  bool slides = false;
  for (AttentionOptions& a : d.attention) {
    a.qk_norm = QkNorm::head;
    slides = slides || a.window > 0;
  }
  if (slides) still_where(d, [&](size_t layer) { return d.attention[layer].window == 0; });
  d.spec.placement = NormPlacement::branch;
}
constexpr DecoderFamily kFamily{"exaone4", "Exaone4ForCausalLM", keys, {.mixer_norm = "post_attention_layernorm", .channel_norm = "post_feedforward_layernorm"}};

}  // namespace

Family exaone4() { return decoder_family<kFamily>("RMSNorm of what each block gives and of queries and keys; three sliding layers to one that sees all and has no positions. [LG AI Research, EXAONE 4.0, 2025]"); }

}  // namespace gamut::family
