#include "families/kda_layers.h"

namespace gamut {

KdaOptions kda_options(const Component& mixer, const ModelSpec& spec) {
  Config cfg(mixer.options, {.source = "model"});
  return KdaOptions::take(cfg, spec);
}

void name_kda(NameMap& map, const std::string& theirs, const std::string& ours, const KdaNames& names) {
  for (const auto& [name, parameter] : {std::pair("q", "query"), std::pair("k", "key"), std::pair("v", "value")}) {
    map.whole(theirs + name + "_proj.weight", ours + parameter);
    const std::string conv = ours + parameter + "_conv";
    map.reshaped(theirs + name + "_conv1d.weight", conv, {map.shape(conv)[0], 1, map.shape(conv)[1]});
  }
  map.whole(theirs + names.decay_down + ".weight", ours + "decay_down");
  map.whole(theirs + names.decay_up + ".weight", ours + "decay_up");
  map.whole(theirs + names.gate_down + ".weight", ours + "gate_down");
  map.whole(theirs + names.gate_up + ".weight", ours + "gate_up");
  map.optional(theirs + names.gate_up + ".bias", ours + "gate_up_bias");
  map.whole(theirs + "b_proj.weight", ours + "beta");
  map.reshaped(theirs + "A_log", ours + "decay_rate", names.rate);
  map.whole(theirs + "dt_bias", ours + "decay_bias");
  map.whole(theirs + "o_norm.weight", ours + "norm");
  map.whole(theirs + "o_proj.weight", ours + "output");
}

}  // namespace gamut
