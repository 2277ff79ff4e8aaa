#include "families/mamba_layers.h"

namespace gamut {

ModelSpec read_backbone(Config& cfg, bool tied) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 50280, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 768, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("layer_norm_epsilon", 1e-5, 0, 1);
  take_common(cfg, spec, tied);
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("num_hidden_layers", 32, 1, 4096)), LayerSpec{Component{}, Component{"none"}});
  cfg.ignore("residual_in_fp32", "the type of activations says it");
  for (const char* key : {"time_step_floor", "time_step_init_scheme", "time_step_max", "time_step_min", "time_step_scale", "rescale_prenorm_residual"}) cfg.ignore(key, "how the original was initialised");
  for (const char* key : {"use_associative_scan", "use_mambapy", "use_mamba_kernels", "chunk_size"}) cfg.ignore(key, "how, not what, is computed");
  return spec;
}

std::string write_backbone(const ModelSpec& spec, const std::string& mixer, Json& config) {
  if (spec.norm != "rms" || spec.placement != NormPlacement::pre || spec.embedding_norm) return "norms other than RMSNorm before each layer";
  if (spec.embedding_scale != 1 || spec.positions != "none") return "positions or scales of the embedding";
  if (const std::string more = beyond_decoder(spec); !more.empty()) return more;
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != mixer || layer.channel.kind != "none" || !(layer == spec.layers[0])) return "layers other than " + mixer + " alone, all alike";
  config = {{"vocab_size", spec.vocab},
            {"hidden_size", spec.width},
            {"layer_norm_epsilon", spec.norm_eps},
            {"num_hidden_layers", spec.layers.size()},
            {"hidden_act", activation_key(spec.layers[0].mixer.options.value("activation", "silu"))},
            {"initializer_range", spec.init_std},
            {"tie_word_embeddings", spec.tied},
            {"use_cache", true},
            {"residual_in_fp32", true},
            {"torch_dtype", dtype_key(spec.dtype)}};
  return "";
}

void name_backbone(NameMap& map, const ModelSpec& spec, const TensorNames& present) {
  map.whole(present.contains("backbone.embedding.weight") ? "backbone.embedding.weight" : "backbone.embeddings.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) map.whole("backbone.layers." + std::to_string(i) + ".norm.weight", "layers." + std::to_string(i) + ".mixer_norm");
  map.whole("backbone.norm_f.weight", "final_norm");
  if (!spec.tied) map.whole("lm_head.weight", "head");
}

bool mamba_model_ignores(const ModelSpec& spec, const std::string& tensor) { return spec.tied && tensor == "lm_head.weight"; }

Component take_mamba(Config& cfg, const ModelSpec& spec, const MambaKeys& keys) {
  const double expand = cfg.take_in<double>(keys.expand, 2.0, 1e-3, 1e3);
  const auto inner = static_cast<int64_t>(expand * static_cast<double>(spec.width));
  Component mixer{"mamba", {{"inner", inner}, {"state", cfg.take_in<int64_t>(keys.state, 16, 1, 1024)}, {"conv", cfg.take_in<int64_t>(keys.conv, 4, 1, 16)}}};
  const Json rank = cfg.take_json(keys.rank);
  if (rank.is_number_integer()) mixer.options["rank"] = rank;
  else if (!rank.is_null() && rank != "auto") cfg.reject(keys.rank, "must be a whole number or \"auto\", not " + rank.dump());
  mixer.options["activation"] = take_activation(cfg);
  mixer.options["conv_bias"] = cfg.take<bool>(keys.conv_bias, true);
  mixer.options["bias"] = cfg.take<bool>(keys.bias, false);
  mixer.options["norms"] = keys.norms;
  if (keys.norm_eps) mixer.options["norm_eps"] = cfg.take_in<double>(keys.norm_eps, 1e-6, 0, 1);
  return mixer;
}

std::string write_mamba(const ModelSpec& spec, const Component& mixer, const MambaKeys& keys, Json& config) {
  Config cfg(mixer.options, {.source = "model"});
  const MambaOptions o = MambaOptions::take(cfg, spec);
  const double expand = static_cast<double>(o.inner) / static_cast<double>(spec.width);
  if (static_cast<int64_t>(expand * static_cast<double>(spec.width)) != o.inner) return "an inner width that is no multiple of the width";
  if (o.norms != keys.norms) return "other norms of Δ, B and C";
  if (!keys.norm_eps && o.norms != "none" && o.norm_eps != spec.norm_eps) return "an epsilon of its own for Δ, B and C";
  config[keys.expand] = expand == static_cast<double>(static_cast<int64_t>(expand)) ? Json(static_cast<int64_t>(expand)) : Json(expand);
  config[keys.state] = o.state;
  config[keys.conv] = o.conv;
  config[keys.rank] = o.rank;
  config[keys.conv_bias] = o.conv_bias;
  config[keys.bias] = o.bias;
  if (keys.norm_eps) config[keys.norm_eps] = o.norm_eps;
  return "";
}

void name_mamba(NameMap& map, const std::string& theirs, const std::string& ours) {
  map.stacked(theirs + "in_proj.weight", {ours + "value", ours + "gate"});
  if (map.has(ours + "value_bias")) map.stacked(theirs + "in_proj.bias", {ours + "value_bias", ours + "gate_bias"});
  const Shape& conv = map.shape(ours + "conv");
  map.reshaped(theirs + "conv1d.weight", ours + "conv", {conv[0], 1, conv[1]});
  map.optional(theirs + "conv1d.bias", ours + "conv_bias");
  map.stacked(theirs + "x_proj.weight", {ours + "step_in", ours + "write", ours + "read"});
  map.whole(theirs + "dt_proj.weight", ours + "step");
  map.whole(theirs + "dt_proj.bias", ours + "step_bias");
  map.whole(theirs + "A_log", ours + "log_rate");
  map.whole(theirs + "D", ours + "skip");
  map.whole(theirs + "out_proj.weight", ours + "output");
  map.optional(theirs + "out_proj.bias", ours + "output_bias");
  for (const auto& [their, our] : {std::pair("dt_layernorm", "step_norm"), std::pair("b_layernorm", "write_norm"), std::pair("c_layernorm", "read_norm")})
    map.optional(theirs + their + ".weight", ours + our);
}

ModelSpec read_mamba_model(Config& cfg, const MambaKeys& keys, bool tied) {
  ModelSpec spec = read_backbone(cfg, tied);
  const Component mixer = take_mamba(cfg, spec, keys);
  const auto inner = mixer.options["inner"].get<int64_t>();
  if (const auto said = cfg.take_in<int64_t>("intermediate_size", inner, 1, int64_t{1} << 24); said != inner)
    cfg.reject("intermediate_size", "is " + std::to_string(said) + ", but expand·hidden_size is " + std::to_string(inner));
  for (LayerSpec& layer : spec.layers) layer.mixer = mixer;
  return spec;
}

Family::Written write_mamba_model(const ModelSpec& spec, const MambaKeys& keys, const char* model_type, const char* architecture) {
  Json config;
  if (const std::string why = write_backbone(spec, "mamba", config); !why.empty()) return {{}, why};
  if (const std::string why = write_mamba(spec, spec.layers[0].mixer, keys, config); !why.empty()) return {{}, why};
  config["model_type"] = model_type;
  config["architectures"] = {architecture};
  return {config, ""};
}

std::vector<StoredTensor> mamba_model_tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  name_backbone(map, model.spec(), present);
  for (size_t i = 0; i < model.spec().layers.size(); ++i) name_mamba(map, "backbone.layers." + std::to_string(i) + ".mixer.", "layers." + std::to_string(i) + ".mixer.");
  return map.take();
}

}  // namespace gamut
