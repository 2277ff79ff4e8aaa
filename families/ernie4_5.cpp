// ERNIE 4.5: Llama whose pairs of neighbouring dimensions rotate. [Baidu 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 103424, .width = 1024, .layers = 18, .heads = 16, .kv_heads = 2, .head_dim = 128, .hidden = 3072, .positions = 131072, .eps = 1e-5});
  k.activation("hidden_act", d, "silu");
  biases(k, d, "use_bias", false);
  rotation(k, d, 500000);
  common(k, d, true);
  if (!k.reading()) return;
  d.ffn_bias = d.attention[0].bias;
  for (AttentionOptions& a : d.attention) a.interleaved = true;
}
constexpr DecoderFamily kFamily{"ernie4_5", "Ernie4_5ForCausalLM", keys};

}  // namespace

Family ernie4_5() { return decoder_family<kFamily>("Llama whose pairs of neighbouring dimensions rotate; tied head. [Baidu, ERNIE 4.5, 2025]"); }

}  // namespace gamut::family
