// Bamba: Mamba-2 layers with attention in some, a gated feed-forward layer in each; half of each head rotates. [Ganti et al. 2024]
#include <algorithm>

#include "families/decoder.h"
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

// attn_layer_indices names the layers that have attention.
void attention_layers(Keys& k, PlainDecoder& d) {
  if (!k.reading()) {
    Json indices = Json::array();
    for (size_t i = 0; i < d.others.size(); ++i)
      if (!d.others[i]) indices.push_back(i);
    k.json()["attn_layer_indices"] = indices;
    return;
  }
  const auto indices = k.config().take<std::vector<int64_t>>("attn_layer_indices", {});
  d.others.assign(d.attention.size(), true);
  for (const int64_t i : indices) {
    if (i < 0 || i >= static_cast<int64_t>(d.others.size()))
      k.config().reject("attn_layer_indices", "names layer " + std::to_string(i) + ", there are " + std::to_string(d.others.size()));
    d.others[static_cast<size_t>(i)] = false;
  }
  k.ignore({"layers_block_type", "layer_types"}, "attn_layer_indices says it");
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 128000, .kv_heads = 8, .hidden = 14336, .positions = 262144, .eps = 1e-5}, {.head_dim = nullptr});
  biases(k, d, "attention_bias", false);
  rotation(k, d, 10000, true, 0.5);
  if (!k.reading()) {  // transformers finds another share than a half there alone
    Json& out = k.json();
    Json rope = out["rope_scaling"].is_null() ? Json{{"rope_type", "default"}} : out["rope_scaling"];
    for (const char* key : {"rope_theta", "partial_rotary_factor"}) rope[key] = out[key];
    for (const char* key : {"rope_theta", "partial_rotary_factor", "rope_scaling"}) out.erase(key);
    out["rope_parameters"] = rope;
  }
  common(k, d, false);
  mamba2_keys(k, d.spec, d.other);
  attention_layers(k, d);
  k.flag("mlp_bias", d.ffn_bias, false);
  k.activation("hidden_act", d, "silu");
  k.only("z_loss_coefficient", 0.0, "a loss of logits");
  k.ignore({"num_logits_to_keep"}, "how, not what, is computed");
}
void name_other(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec&, size_t) { name_mamba2(map, theirs + "mamba.", ours); }

constexpr DecoderFamily kFamily{.model_type = "bamba",
                                .architecture = "BambaForCausalLM",
                                .keys = keys,
                                .names = {.final_norm = "model.final_layernorm",
                                          .channel_norm = "pre_ff_layernorm",
                                          .gate = "feed_forward.gate_proj",
                                          .up = "feed_forward.up_proj",
                                          .down = "feed_forward.down_proj"},
                                .other = name_other};

}  // namespace

Family bamba() { return decoder_family<kFamily>("Mamba-2 layers with attention in some, a gated feed-forward layer in each. [Ganti et al., Bamba, 2024]"); }

}  // namespace gamut::family
