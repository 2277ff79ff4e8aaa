#include "families/fla_layers.h"

#include <algorithm>
#include <cmath>

namespace gamut {

void fla_keys(Keys& k, PlainDecoder& d, const FlaSizes& sizes, void (*mixer)(Keys& k, PlainDecoder& d)) {
  ModelSpec& spec = d.spec;
  auto layers = static_cast<int64_t>(d.others.size());
  k.integer("vocab_size", spec.vocab, 32000, 1, int64_t{1} << 31);
  k.integer("hidden_size", spec.width, sizes.width, 1, 1 << 20);
  k.integer("num_hidden_layers", layers, sizes.layers, 1, 4096);
  k.integer("max_position_embeddings", spec.max_positions, 2048, 1, 1 << 24);
  k.number("norm_eps", spec.norm_eps, 1e-6, 0, 1);
  k.integer_or_null("intermediate_size", d.hidden, 0);
  if (k.reading()) {
    int64_t ratio = sizes.ratio;
    k.integer_or_null("hidden_ratio", ratio, sizes.ratio);
    if (ratio == 0) ratio = 4;
    if (d.hidden == 0) d.hidden = (spec.width * ratio * 2 / 3 + 255) / 256 * 256;
    d.others.assign(static_cast<size_t>(layers), true);
    d.attention.resize(d.others.size());
  }
  k.activation("hidden_act", d, "silu");
  if (d.activation != "silu") {
    if (k.reading()) k.config().reject("hidden_act", "is another activation than swish, which these feed-forward layers and gates have");
    throw Error({.who = "model", .what = "another activation than silu"});
  }
  mixer(k, d);
  common(k, d, false);
  k.only("elementwise_affine", true, "norms without weights");
  if (k.reading()) k.only("attn", Json(), "layers of softmax attention");
  k.ignore({"attn_mode", "fuse_norm", "fuse_swiglu", "fuse_cross_entropy", "fuse_linear_cross_entropy", "use_l2warp"}, "how, not what, is computed");
}

void fla_needs(Keys& k, const PlainDecoder& d, const char* kind) {
  if (k.reading()) return;
  if (!d.other || d.other->kind != kind || std::find(d.others.begin(), d.others.end(), false) != d.others.end())
    throw Error({.who = "model", .what = std::string("layers other than ") + kind});
}

void fla_expansion(Keys& k, const PlainDecoder& d, const char* key, int64_t heads, int64_t& head_dim, double fallback) {
  const auto width = static_cast<double>(d.spec.width);
  double expand = static_cast<double>(heads * head_dim) / width;
  k.number(key, expand, fallback, 1e-6, 1e6);
  if (!k.reading()) return;
  const auto whole = static_cast<int64_t>(std::llround(width * expand));
  if (std::abs(width * expand - static_cast<double>(whole)) > 1e-5 * width * expand || whole % heads != 0 || whole == 0)
    k.config().reject(key, "times hidden_size is " + std::to_string(width * expand) + ", not a multiple of " + std::to_string(heads) + " heads");
  head_dim = whole / heads;
}

void fla_plain_heads(Keys& k, int64_t heads) {
  if (k.reading())
    if (const Json said = k.config().take_json("num_kv_heads"); !said.is_null() && said != heads)
      k.config().reject("num_kv_heads", "is " + said.dump() + "; as many heads of keys as of queries (" + std::to_string(heads) + ") are supported");
  k.only("use_short_conv", false, "convolutions");
  k.ignore({"conv_size", "share_conv_kernel"}, "there are no convolutions");
  k.only("feature_map", Json(), "a feature map of queries and keys");
  k.only("use_output_gate", true, "no gate");
  if (k.reading()) k.only("fuse_norm", true, "a norm under another name");
}

void name_fla_projections(NameMap& map, const std::string& theirs, const std::string& ours) {
  for (const auto& [name, parameter] : {std::pair("q", "query"), std::pair("k", "key"), std::pair("v", "value"), std::pair("g", "gate"), std::pair("b", "beta"),
                                        std::pair("a", "decay"), std::pair("o", "output")}) {
    map.optional(theirs + name + "_proj.weight", ours + parameter);
    const std::string conv = ours + parameter + "_conv";
    if (map.has(conv)) map.reshaped(theirs + name + "_conv1d.weight", conv, {map.shape(conv)[0], 1, map.shape(conv)[1]});
  }
}

}  // namespace gamut
