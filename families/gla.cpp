// GLA: models of gated linear attention alone, in the layout of flash-linear-attention. [Yang et al. 2023]
#include <limits>

#include "families/fla_layers.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

constexpr double kNoMinimum = -std::numeric_limits<float>::max();

GlaOptions options(const Component& mixer, const ModelSpec& spec) {
  Config cfg(mixer.options, {.source = "model"});
  return GlaOptions::take(cfg, spec);
}

// null, or the least log decay.
void minimum(Keys& k, double& value) {
  if (!k.reading()) {
    k.json()["clamp_min"] = value > kNoMinimum ? Json(value) : Json();
    return;
  }
  value = kNoMinimum;
  const Json said = k.config().take_json("clamp_min");
  if (said.is_null()) return;
  if (!said.is_number() || said > 0) k.config().reject("clamp_min", "must be null or a number up to 0, not " + said.dump());
  value = said;
}

void mixer(Keys& k, PlainDecoder& d) {
  fla_needs(k, d, "gla");
  GlaOptions o{};
  if (!k.reading()) o = options(*d.other, d.spec);
  k.integer("num_heads", o.heads, 4, 1, 65536);
  fla_expansion(k, d, "expand_k", o.heads, o.key_dim, 0.5);
  fla_expansion(k, d, "expand_v", o.heads, o.value_dim, 1);
  minimum(k, o.decay_min);
  Component said{"gla", {{"heads", o.heads}, {"key_dim", o.key_dim}, {"value_dim", o.value_dim}}};
  if (o.decay_min > kNoMinimum) said.options["decay_min"] = o.decay_min;
  if (!k.reading() && !(o == options(said, d.spec)))
    throw Error({.who = "model", .what = "gated linear attention with another rank or divisor of decays than 16, or an epsilon of its own"});
  d.other = said;
  fla_plain_heads(k, o.heads);
  k.only("use_gk", true, "keys without a decay");
  k.only("use_gv", false, "a decay of values");
}

void keys(Keys& k, PlainDecoder& d) { fla_keys(k, d, {}, mixer); }
void name_other(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec&, size_t) {
  const std::string theirs = layer + "attn.";
  name_fla_projections(map, theirs, ours);
  map.whole(theirs + "gk_proj.0.weight", ours + "decay_down");
  map.whole(theirs + "gk_proj.1.weight", ours + "decay_up");
  map.whole(theirs + "gk_proj.1.bias", ours + "decay_up_bias");
  map.whole(theirs + "g_norm_swish_gate.weight", ours + "norm");
}
constexpr DecoderFamily kFamily{"gla", "GLAForCausalLM", keys, kFlaNames, nullptr, nullptr, name_other};

}  // namespace

Family gla() { return decoder_family<kFamily>("Gated linear attention and gated feed-forward layers. [Yang et al., GLA, 2023]"); }

}  // namespace gamut::family
