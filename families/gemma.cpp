// Gemma: Llama with a scaled embedding, gains stored around zero and GELU gates. [Gemma Team 2024]
#include <cmath>

#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 256000, .width = 3072, .layers = 28, .heads = 16, .kv_heads = 16, .head_dim = 256, .hidden = 24576, .positions = 8192});
  k.activation("hidden_act", d, "gelu_pytorch_tanh");
  k.only("hidden_activation", Json(), "another activation");
  k.only("use_bidirectional_attention", false, "attention to both sides");
  biases(k, d, "attention_bias", false);
  rotation(k, d);
  common(k, d, true);
  if (k.reading()) d.spec.embedding_scale = std::sqrt(static_cast<double>(d.spec.width));
}
constexpr DecoderFamily kFamily{"gemma", "GemmaForCausalLM", keys, {.centre = 1}};

}  // namespace

Family gemma() { return decoder_family<kFamily>("Llama with an embedding scaled by √D, gains stored less 1, GELU gates and a tied head. [Gemma Team, Gemma, 2024]"); }

}  // namespace gamut::family
