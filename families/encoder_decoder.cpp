#include "families/encoder_decoder.h"

namespace gamut {

Component take_seq2seq(Config& cfg, int32_t start, int32_t end) {
  // As a number, a list of several, or null: the default.
  const auto id = [&](const char* key, int32_t fallback) {
    const Json value = cfg.take_json(key);
    const Json& one = value.is_array() && !value.empty() ? value[0] : value;
    return one.is_number_integer() ? one.get<int32_t>() : fallback;
  };
  return {"seq2seq", {{"specials", {id("decoder_start_token_id", start), id("eos_token_id", end)}}}};
}

void write_seq2seq(const ModelSpec& spec, Json& config) {
  const Json specials = spec.objective.options.value("specials", Json::array());
  if (specials.empty()) return;
  config["decoder_start_token_id"] = specials[0];
  config["eos_token_id"] = spec.objective.kind == "denoising" ? specials[0] : specials[1];
}

std::string beyond_encoder_decoder(const ModelSpec& spec) {
  if (spec.encoder.empty()) return "no encoder";
  if (spec.token_types > 0) return "token types";
  if (spec.heads.size() != 1 || spec.heads[0].kind != "vocabulary") return "other heads than one for the vocabulary";
  if (spec.objective.kind != "seq2seq" && spec.objective.kind != "span_corruption" && spec.objective.kind != "denoising") return "the objective " + spec.objective.kind;
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != "attention" || layer.cross.kind != "cross_attention") return "mixers other than attention";
  for (const LayerSpec& layer : spec.encoder)
    if (layer.mixer.kind != "attention") return "mixers other than attention";
  return "";
}

AttentionOptions mixer_options(const ModelSpec& spec, const Component& mixer) {
  Config cfg(mixer.options, {.source = "model"});
  return AttentionOptions::take(cfg, spec);
}

std::vector<StackNames> stacks(const ModelSpec& spec, const std::string& root) {
  return {{true, root + "encoder.", "encoder.", spec.encoder}, {false, root + "decoder.", "", spec.layers}};
}

}  // namespace gamut
