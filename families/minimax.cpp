// MiniMax-Text-01 and M1: lightning attention with softmax attention in every eighth layer, mixtures of experts; blocks work on a normalised stream. [MiniMax
// 2025]
#include "families/decoder.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts", .hidden = 14336, .module = "block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"};

// Heads and activation are those of the layers with softmax attention and of the experts.
Component lightning(const PlainDecoder& d) {
  return {"lightning", {{"heads", d.attention[0].heads}, {"head_dim", d.attention[0].head_dim}, {"activation", d.experts.activation}}};
}
void lightning_keys(Keys& k, PlainDecoder& d) {
  if (!k.reading() && d.other) {
    const auto options = [&](const Component& c) {
      Config cfg(c.options, {.source = "model"});
      return LightningOptions::take(cfg, d.spec);
    };
    if (d.other->kind != "lightning" || !(options(*d.other) == options(lightning(d))))
      throw Error({.who = "model", .what = "mixers other than lightning attention with the heads of softmax attention"});
  }
  d.other = lightning(d);
  other_layers(k, d, [](size_t layer) { return layer % 2 == 1; });
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.kv_heads = 8, .positions = 131072, .eps = 1e-5}, {.hidden = nullptr});
  const int64_t head = d.attention[0].head_dim;
  double share = 1;
  if (k.reading()) {
    d.spec.placement = NormPlacement::stream;
    share = static_cast<double>(k.config().take_in<int64_t>("rotary_dim", head, 2, head)) / static_cast<double>(head);
  }
  rotation(k, d, 1e6, true, share);
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 0);
  common(k, d, false);
  experts(k, d, kExperts);
  lightning_keys(k, d);
  k.shares("full_attn_alpha_factor", "full_attn_beta_factor", d.attention_shares);
  k.shares("linear_attn_alpha_factor", "linear_attn_beta_factor", d.other_shares);
  k.shares("mlp_alpha_factor", "mlp_beta_factor", d.channel_shares);
  k.ignore({"router_jitter_noise"}, "noise in training of the original");
  k.ignore({"block_size"}, "how, not what, is computed");
}

// Rows of qkv_proj: each head's query, key and value.
void name_other(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec& spec, size_t at) {
  const std::string theirs = layer + "self_attn.";
  Config cfg(spec.layers[at].mixer.options, {.source = "model"});
  const LightningOptions o = LightningOptions::take(cfg, spec);
  const int64_t head = o.head_dim * spec.width;
  StoredTensor qkv{theirs + "qkv_proj.weight", {3 * o.heads * o.head_dim, spec.width}, {}};
  for (int64_t h = 0; h < o.heads; ++h)
    for (const char* name : {"query", "key", "value"}) qkv.parts.push_back({ours + name, h * head, head});
  map.add(std::move(qkv));
  map.whole(theirs + "output_gate.weight", ours + "gate");
  map.whole(theirs + "norm.weight", ours + "norm");
  map.whole(theirs + "out_proj.weight", ours + "output");
}

// Tables of decay follow from the configuration.
constexpr DecoderFamily kFamily{"minimax", "MiniMaxForCausalLM", keys, {.ignored = {".slope_rate", "_decay"}}, nullptr, &kExperts, name_other};

}  // namespace

Family minimax() {
  return decoder_family<kFamily>(
      "Lightning attention with softmax attention between, mixtures of experts; each block adds to its normalised input. [MiniMax, MiniMax-01, 2025]");
}

}  // namespace gamut::family
