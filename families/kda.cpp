// KDA: models of Kimi delta attention alone, in the layout of flash-linear-attention. [Kimi Team 2025]
#include "families/fla_layers.h"
#include "families/kda_layers.h"

namespace gamut::family {
namespace {

Component delta(int64_t heads, int64_t head_dim, int64_t value_dim, int64_t conv, bool negative) {
  Component c{"kda", {{"heads", heads}, {"key_dim", head_dim}, {"value_dim", value_dim}, {"conv", conv}, {"gate_bias", true}}};
  if (negative) c.options["beta_scale"] = 2.0;
  return c;
}

void delta_keys(Keys& k, PlainDecoder& d) {
  KdaOptions o{.heads = 16, .key_dim = 128, .value_dim = 128, .conv = 4, .beta_scale = 1};
  fla_needs(k, d, "kda");
  if (!k.reading()) {
    o = kda_options(*d.other, d.spec);
    if (!(o == kda_options(delta(o.heads, o.key_dim, o.value_dim, o.conv, o.beta_scale == 2), d.spec)))
      throw Error({.who = "model", .what = "another form of Kimi delta attention"});
  }
  double expand = static_cast<double>(o.value_dim) / static_cast<double>(o.key_dim);
  bool negative = o.beta_scale == 2;
  k.integer("num_heads", o.heads, o.heads, 1, 65536);
  k.integer("head_dim", o.key_dim, o.key_dim, 1, 1024);
  k.number("expand_v", expand, 1, 1e-3, 1e3);
  k.integer("conv_size", o.conv, o.conv, 1, 16);
  k.flag("allow_neg_eigval", negative, false);
  const auto value_dim = static_cast<int64_t>(static_cast<double>(o.key_dim) * expand + 1e-9);
  if (value_dim < 1) k.config().reject("expand_v", "leaves no value");
  d.other = delta(o.heads, o.key_dim, value_dim, o.conv, negative);
  if (k.reading()) {
    if (const Json heads = k.config().take_json("num_v_heads"); !heads.is_null() && heads != o.heads)
      k.config().reject("num_v_heads", "is " + heads.dump() + "; as many heads of values as of keys (" + std::to_string(o.heads) + ") are supported");
  }
  k.only("use_short_conv", true, "layers without convolutions");
  k.only("safe_gate", false, "decays with a bound");
  k.only("lower_bound", Json(), "decays with a bound");
}

void keys(Keys& k, PlainDecoder& d) { fla_keys(k, d, {}, delta_keys); }
void name_other(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec&, size_t) {
  name_kda(map, theirs + "attn.", ours, {{map.shape(ours + "decay_rate")[0]}, "f_proj.0", "f_proj.1", "g_proj.0", "g_proj.1"});
}

constexpr DecoderFamily kFamily{"kda", "KDAForCausalLM", keys, kFlaNames, nullptr, nullptr, name_other};

}  // namespace

Family kda() { return decoder_family<kFamily>("Kimi delta attention and gated feed-forward layers. [Kimi Team, Kimi Linear, 2025]"); }

}  // namespace gamut::family
