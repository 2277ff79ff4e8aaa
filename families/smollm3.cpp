// SmolLM3: Llama without positions in every fourth layer. [Hugging Face 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 128256, .width = 2048, .layers = 36, .heads = 16, .kv_heads = 4, .positions = 32768}, {.head_dim = nullptr});
  k.activation("hidden_act", d, "silu");
  biases(k, d, "attention_bias", false);
  k.flag("mlp_bias", d.ffn_bias, false);
  rotation(k, d, 2e6);
  common(k, d, true);
  if (!k.reading()) {
    bool slides = false;
    Json rotated = Json::array();
    for (const AttentionOptions& a : d.attention) {
      rotated.push_back(a.rope ? 1 : 0);
      slides = slides || a.window > 0;
    }
    k.json().update({{"no_rope_layers", rotated}, {"use_sliding_window", slides}});
    windows(k, d, 0, {});
    return;
  }
  const auto every = k.config().take_in<int64_t>("no_rope_layer_interval", 4, 1, 4096);
  std::vector<int64_t> rotated(d.attention.size());
  for (size_t i = 0; i < rotated.size(); ++i) rotated[i] = (static_cast<int64_t>(i) + 1) % every != 0;
  rotated = k.config().take<std::vector<int64_t>>("no_rope_layers", rotated);
  if (rotated.size() != d.attention.size()) k.config().reject("no_rope_layers", "names " + std::to_string(rotated.size()) + " layers, there are " + std::to_string(d.attention.size()));
  still_where(d, [&](size_t layer) { return rotated[layer] == 0; });
  const bool slides = k.config().take<bool>("use_sliding_window", false);
  k.ignore({"max_window_layers"}, "has no influence");
  windows(k, d, 0, [&](size_t layer) { return slides && rotated[layer] == 0; });
}
constexpr DecoderFamily kFamily{"smollm3", "SmolLM3ForCausalLM", keys};

}  // namespace

Family smollm3() { return decoder_family<kFamily>("Llama without positions in every fourth layer. [Bakouch et al., SmolLM3, 2025]"); }

}  // namespace gamut::family
