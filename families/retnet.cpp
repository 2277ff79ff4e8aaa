// RetNet: models of retention alone, in the layout of flash-linear-attention. [Sun et al. 2023]
#include "families/fla_layers.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

RetNetOptions options(const Component& mixer, const ModelSpec& spec) {
  Config cfg(mixer.options, {.source = "model"});
  return RetNetOptions::take(cfg, spec);
}

void mixer(Keys& k, PlainDecoder& d) {
  fla_needs(k, d, "retnet");
  RetNetOptions o{};
  if (!k.reading()) o = options(*d.other, d.spec);
  k.integer("num_heads", o.heads, 8, 1, 65536);
  fla_expansion(k, d, "expand_k", o.heads, o.key_dim, 1);
  fla_expansion(k, d, "expand_v", o.heads, o.value_dim, 2);
  if (o.key_dim % 2 != 0) k.config().reject("expand_k", "gives heads of " + std::to_string(o.key_dim) + " numbers, which rotate in pairs");
  const Component said{"retnet", {{"heads", o.heads}, {"key_dim", o.key_dim}, {"value_dim", o.value_dim}}};
  if (!k.reading() && !(o == options(said, d.spec)))
    throw Error({.who = "model", .what = "retention with another rotation than that of base 10000, or an epsilon of its own"});
  d.other = said;
  fla_plain_heads(k, o.heads);
}

void keys(Keys& k, PlainDecoder& d) { fla_keys(k, d, {.ratio = 2}, mixer); }
void name_other(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec&, size_t) {
  name_fla_projections(map, layer + "attn.", ours);
  map.whole(layer + "attn.g_norm_swish_gate.weight", ours + "norm");
}
constexpr DecoderFamily kFamily{"retnet", "RetNetForCausalLM", keys, kFlaNames, nullptr, nullptr, name_other};

}  // namespace

Family retnet() { return decoder_family<kFamily>("Retention, whose states decay by a constant, and gated feed-forward layers. [Sun et al., RetNet, 2023]"); }

}  // namespace gamut::family
