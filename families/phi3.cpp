// Phi-3 and Phi-4: Llama with queries, keys and values, and gates and inputs, in one matrix each. [Abdin et al. 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 32064, .width = 3072, .hidden = 8192, .positions = 4096, .eps = 1e-5}, {.head_dim = nullptr});
  k.activation("hidden_act", d, "silu");
  k.only("attention_bias", false, "biases in attention");
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 0);
  k.ignore({"auto_map"}, "says nothing about what is computed");
  rotation(k, d, 10000, true, 1);
  if (const RopeScaling& s = d.attention[0].rotation.scaling; !k.reading() && s.kind == "longrope") k.json()["original_max_position_embeddings"] = s.original_positions;
  common(k, d, false);
}
constexpr DecoderFamily kFamily{"phi3", "Phi3ForCausalLM", keys, {.qkv = "self_attn.qkv_proj", .gate_up = "mlp.gate_up_proj"}};

}  // namespace

Family phi3() { return decoder_family<kFamily>("Llama with a sliding window; a part of each head may rotate. [Abdin et al., Phi-3, 2024]"); }

}  // namespace gamut::family
