// DeltaNet and Gated DeltaNet: models of the delta rule alone, in the layouts of flash-linear-attention. [Yang et al. 2024]
#include <algorithm>
#include <cmath>

#include "families/fla_layers.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

GatedDeltaNetOptions options(const Component& mixer, const ModelSpec& spec, bool decay) {
  Config cfg(mixer.options, {.source = "model"});
  return GatedDeltaNetOptions::take(cfg, spec, decay);
}

GatedDeltaNetOptions start(Keys& k, const PlainDecoder& d, bool decay) {
  fla_needs(k, d, decay ? "gated_deltanet" : "deltanet");
  return k.reading() ? GatedDeltaNetOptions{.decay = decay} : options(*d.other, d.spec, decay);
}

// What both share, after the sizes.
void rest(Keys& k, PlainDecoder& d, GatedDeltaNetOptions& o) {
  bool convolved = o.conv > 0, negative = o.beta_scale == 2;
  int64_t taps = convolved ? o.conv : 4;
  k.flag("use_gate", o.gate, o.decay);
  k.flag("use_short_conv", convolved, true);
  k.integer("conv_size", taps, 4, 1, 16);
  k.flag("allow_neg_eigval", negative, false);
  const char* kind = o.decay ? "gated_deltanet" : "deltanet";
  Component said{kind, {{"key_heads", o.key_heads}, {"value_heads", o.value_heads}, {"key_dim", o.key_dim}, {"value_dim", o.value_dim}, {"gate", o.gate}}};
  said.options["conv"] = convolved ? taps : 0;
  if (negative) said.options["beta_scale"] = 2.0;
  if (!k.reading() && !(o == options(said, d.spec, o.decay))) throw Error({.who = "model", .what = std::string("another form of ") + kind});
  d.other = said;
  if (k.reading()) {
    k.only("conv_bias", false, "convolutions with biases");
    k.only("share_conv_kernel", false, "one convolution for all");
  }
}

void plain_mixer(Keys& k, PlainDecoder& d) {
  GatedDeltaNetOptions o = start(k, d, false);
  k.integer("num_heads", o.key_heads, 16, 1, 65536);
  if (k.reading()) o.value_heads = o.key_heads;
  fla_expansion(k, d, "expand_k", o.key_heads, o.key_dim, 1);
  fla_expansion(k, d, "expand_v", o.value_heads, o.value_dim, 1);
  if (o.value_heads != o.key_heads) throw Error({.who = "model", .what = "more heads of values than of keys"});
  rest(k, d, o);
  k.only("use_beta", true, "a rule that writes with full strength");
  k.only("qk_norm", "l2", "another length of queries and keys");
  k.only("qk_activation", "silu", "another activation of queries and keys");
  k.only("use_output_norm", true, "no norm of the result");
}

void gated_mixer(Keys& k, PlainDecoder& d) {
  GatedDeltaNetOptions o = start(k, d, true);
  double expand = static_cast<double>(o.value_dim) / static_cast<double>(std::max<int64_t>(o.key_dim, 1));
  int64_t value_heads = o.value_heads;
  k.integer("num_heads", o.key_heads, 6, 1, 65536);
  k.integer("head_dim", o.key_dim, 256, 1, 65536);
  k.number("expand_v", expand, 2, 1e-6, 1e6);
  k.integer_or_null("num_v_heads", value_heads, 0);
  if (k.reading()) {
    o.value_heads = value_heads > 0 ? value_heads : o.key_heads;
    if (o.value_heads % o.key_heads != 0)
      k.config().reject("num_v_heads", "must be a multiple of num_heads (" + std::to_string(o.key_heads) + "), not " + std::to_string(o.value_heads));
    const double wide = static_cast<double>(o.key_dim) * expand;
    o.value_dim = std::llround(wide);
    if (o.value_dim == 0 || std::abs(wide - static_cast<double>(o.value_dim)) > 1e-5 * wide)
      k.config().reject("expand_v", "times head_dim is " + std::to_string(wide) + ", not a whole number");
  }
  rest(k, d, o);
}

void name_other(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec&, size_t) {
  const std::string theirs = layer + "attn.";
  name_fla_projections(map, theirs, ours);
  map.optional(theirs + "A_log", ours + "decay_rate");
  map.optional(theirs + "dt_bias", ours + "decay_bias");
  map.whole(theirs + "o_norm.weight", ours + "norm");
}

constexpr DecoderFamily kPlain{"delta_net", "DeltaNetForCausalLM", [](Keys&k, PlainDecoder&d) { fla_keys(k, d, {}, plain_mixer); }, kFlaNames, nullptr, nullptr,
                               name_other},
    kGated{
        "gated_deltanet", "GatedDeltaNetForCausalLM", [](Keys&k, PlainDecoder&d) { fla_keys(k, d, {.layers = 21}, gated_mixer); }, kFlaNames, nullptr, nullptr,
        name_other};

}  // namespace

Family delta_net() {
  return decoder_family<kPlain>("A state that is corrected by the delta rule, and gated feed-forward layers. [Yang et al., DeltaNet, 2024]");
}
Family gated_deltanet() { return decoder_family<kGated>("DeltaNet whose state also decays, with gated results. [Yang et al., Gated Delta Networks, 2024]"); }

}  // namespace gamut::family
