// Nemotron-4 and Minitron: squared ReLU, LayerNorm with gains stored around zero, heads that rotate in part. [Parmar et al. 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 256000, .width = 6144, .heads = 48, .hidden = 24576, .positions = 4096, .eps = 1e-5}, {.eps = "norm_eps"});
  k.activation("hidden_act", d, "relu2");
  biases(k, d, "attention_bias", false);
  k.flag("mlp_bias", d.ffn_bias, false);
  rotation(k, d, 10000, true, 0.5);
  common(k, d, false);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.gated = false;
}
constexpr DecoderFamily kFamily{"nemotron", "NemotronForCausalLM", keys, {.centre = 1}};

}  // namespace

Family nemotron() { return decoder_family<kFamily>("Squared-ReLU layers without gates, LayerNorm with gains stored less 1, half of each head rotates. [Parmar et al., Nemotron-4 15B, 2024]"); }

}  // namespace gamut::family
