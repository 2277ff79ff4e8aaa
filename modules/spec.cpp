#include "modules/spec.h"

#include <algorithm>

namespace gamut {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;

// In the order of their enumerations.
const std::vector<std::string> kPlacements{"pre", "post", "none", "branch", "both", "stream"}, kResiduals{"sequential", "parallel", "parallel_one_norm"};

struct Choice {
  size_t index;
  template <class Enum> requires std::is_enum_v<Enum> operator Enum() const { return static_cast<Enum>(index); }
};
Choice choice(Config& cfg, const char* key, const std::vector<std::string>& names) {
  const std::string name = cfg.take_choice(key, names[0], names);
  return {static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin())};
}

// A component's table {kind = "…", options…}, or its kind alone.
Component component(const Config& cfg, const std::string& key, Json table, const std::string& fallback_kind) {
  if (table.is_null()) table = Json::object();
  if (table.is_string()) table = {{"kind", table}};
  if (!table.is_object()) cfg.reject(key, "must be a table or the name of a kind, not " + table.dump());
  Component c{fallback_kind, std::move(table)};
  if (c.options.contains("kind")) {
    if (!c.options["kind"].is_string()) cfg.reject(key + ".kind", "must be a string, not " + c.options["kind"].dump());
    c.kind = c.options["kind"];
    c.options.erase("kind");
  }
  return c;
}

Component component(Config& cfg, const std::string& key, const std::string& fallback_kind) {
  return component(cfg, key, cfg.take_json(key), fallback_kind);
}

Json to_json(const Component& c) {
  Json out = {{"kind", c.kind}};
  for (const auto& [key, value] : c.options.items()) out[key] = value;
  return out;
}

Shares shares(Config& cfg, const char* key) {
  const auto both = cfg.take<std::vector<double>>(key, {1, 1});
  if (both.size() != 2) cfg.reject(key, "must be two numbers: of a block's input and of its result");
  return {both[0], both[1]};
}

Json to_json(const LayerSpec& layer) {
  Json out = {{"mixer", to_json(layer.mixer)}, {"channel", to_json(layer.channel)}};
  if (layer.cross.kind != "none") out["cross"] = to_json(layer.cross);
  for (const auto& [key, s] : {std::pair("mixer_shares", layer.mixer_shares), std::pair("channel_shares", layer.channel_shares)})
    if (!(s == Shares{})) out[key] = {s.input, s.result};
  return out;
}

// The layers that a table describes; none when it has no `layers`.
std::vector<LayerSpec> stack(Config& cfg, bool encoder) {
  const auto layer_of = [&](Config& table) {
    LayerSpec layer{component(table, "mixer", "attention"), component(table, "channel", "ffn")};
    if (!encoder) layer.cross = component(table, "cross", "none");
    layer.mixer_shares = shares(table, "mixer_shares");
    layer.channel_shares = shares(table, "channel_shares");
    return layer;
  };
  const Json layers = cfg.take_json("layers");
  std::vector<LayerSpec> out;
  if (layers.is_number_integer()) {
    // `layers = N`: all alike, but for the layers that `dense_layers` lists, which take [model.dense] as channel mixer.
    const auto n = layers.get<int64_t>();
    if (n < 1 || n > 4096) cfg.reject("layers", "must lie between 1 and 4096, not " + layers.dump());
    out.assign(static_cast<size_t>(n), layer_of(cfg));
    const auto dense_layers = cfg.take<std::vector<int64_t>>("dense_layers", {});
    const Component dense = component(cfg, "dense", "ffn");
    for (const int64_t i : dense_layers) {
      if (i < 0 || i >= n) cfg.reject("dense_layers", "names layer " + std::to_string(i) + " of " + std::to_string(n));
      out[static_cast<size_t>(i)].channel = dense;
    }
  } else if (layers.is_array()) {
    for (size_t i = 0; i < layers.size(); ++i) {
      Config layer(layers[i], cfg.origin(), (cfg.prefix().empty() ? "layers." : cfg.prefix() + ".layers.") + std::to_string(i));
      out.push_back(layer_of(layer));
      layer.finish();
    }
  } else if (!layers.is_null()) {
    cfg.reject("layers", "must be the number of layers or a list of tables, not " + layers.dump(), "for example layers = 4");
  }
  return out;
}

void write_stack(const std::vector<LayerSpec>& layers, Json& out) {
  if (std::all_of(layers.begin(), layers.end(), [&](const LayerSpec& l) { return l == layers[0]; })) {
    if (!layers.empty()) out.update(to_json(layers[0]));
    out["layers"] = layers.size();
  } else {
    out["layers"] = Json::array();
    for (const LayerSpec& l : layers) out["layers"].push_back(to_json(l));
  }
}

}  // namespace

ModelSpec ModelSpec::from_config(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab", 0, 0, kMost);  // 0: as the tokenizer says
  spec.width = cfg.take_in<int64_t>("width", 1, 1 << 20);
  spec.norm = cfg.take_choice("norm", spec.norm, {"rms", "layer"});
  spec.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  spec.final_norm_eps = cfg.take_in<double>("final_norm_eps", spec.final_norm_eps, 0, 1);
  spec.norm_gain = cfg.take<bool>("norm_gain", spec.norm_gain);
  spec.norm_bias = cfg.take<bool>("norm_bias", spec.norm_bias);
  spec.placement = choice(cfg, "norm_placement", kPlacements);
  spec.residual = choice(cfg, "residual", kResiduals);
  spec.residual_scale = cfg.take<double>("residual_scale", spec.residual_scale);
  spec.tied = cfg.take<bool>("tied", spec.tied);
  spec.embedding_width = cfg.take_in<int64_t>("embedding_width", spec.embedding_width, 0, 1 << 20);
  spec.embedding_scale = cfg.take<double>("embedding_scale", spec.embedding_scale);
  spec.embedding_norm = cfg.take<bool>("embedding_norm", spec.embedding_norm);
  spec.init_std = cfg.take_in<double>("init_std", spec.init_std, 0, 10);
  spec.init_scaled_residual = cfg.take<bool>("init_scaled_residual", spec.init_scaled_residual);
  spec.positions = cfg.take_choice("positions", spec.positions, {"none", "learned", "sinusoidal", "sinusoidal_t2t"});
  spec.max_positions = cfg.take_in<int64_t>("max_positions", spec.max_positions, 1, 1 << 24);
  spec.position_offset = cfg.take_in<int64_t>("position_offset", spec.position_offset, 0, 1 << 24);
  spec.token_types = cfg.take_in<int64_t>("token_types", spec.token_types, 0, 1 << 20);
  if (const Json heads = cfg.take_json("heads"); !heads.is_null()) {
    if (!heads.is_array()) cfg.reject("heads", "must be a list of kinds or tables, not " + heads.dump());
    spec.heads.clear();
    for (const Json& head : heads) spec.heads.push_back(component(cfg, "heads", head, ""));
  }
  spec.objective = component(cfg, "objective", spec.objective.kind);
  spec.dtype = cfg.take_choice("dtype", spec.dtype, {"bf16", "f32", "f64"});

  spec.layers = stack(cfg, false);
  if (spec.layers.empty()) cfg.reject("layers", "must be the number of layers or a list of tables", "for example layers = 4");
  Config encoder = cfg.sub("encoder");
  spec.encoder = stack(encoder, true);
  encoder.finish();
  return spec;
}

Json ModelSpec::to_json() const {
  Json out = {{"vocab", vocab}, {"width", width}, {"norm", norm}, {"norm_eps", norm_eps},
              {"norm_gain", norm_gain}, {"norm_bias", norm_bias},
              {"norm_placement", kPlacements[static_cast<size_t>(placement)]}, {"residual", kResiduals[static_cast<size_t>(residual)]}, {"residual_scale", residual_scale}, {"tied", tied},
              {"embedding_width", embedding_width}, {"embedding_scale", embedding_scale}, {"embedding_norm", embedding_norm}, {"init_std", init_std}, {"init_scaled_residual", init_scaled_residual},
              {"positions", positions}, {"max_positions", max_positions}, {"position_offset", position_offset}, {"token_types", token_types},
              {"objective", gamut::to_json(objective)}, {"dtype", dtype}};
  if (final_norm_eps > 0) out["final_norm_eps"] = final_norm_eps;
  out["heads"] = Json::array();
  for (const Component& head : heads) out["heads"].push_back(gamut::to_json(head));
  write_stack(layers, out);
  if (!encoder.empty()) write_stack(encoder, out["encoder"]);
  return out;
}

}  // namespace gamut
