#include "modules/spec.h"

#include <algorithm>

namespace gamut {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;

// A component's table: {kind = "…", options…}.
Component component(Config& cfg, const std::string& key, const std::string& fallback_kind) {
  Json table = cfg.take_json(key);
  if (table.is_null()) table = Json::object();
  if (!table.is_object()) cfg.reject(key, "must be a table, not " + table.dump());
  Component c{fallback_kind, std::move(table)};
  if (c.options.contains("kind")) {
    if (!c.options["kind"].is_string()) cfg.reject(key + ".kind", "must be a string, not " + c.options["kind"].dump());
    c.kind = c.options["kind"];
    c.options.erase("kind");
  }
  return c;
}

Json to_json(const Component& c) {
  Json out = {{"kind", c.kind}};
  for (const auto& [key, value] : c.options.items()) out[key] = value;
  return out;
}

}  // namespace

ModelSpec ModelSpec::from_config(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab", 0, 0, kMost);  // 0: as the tokenizer says
  spec.width = cfg.take_in<int64_t>("width", 1, 1 << 20);
  spec.norm = cfg.take_choice("norm", spec.norm, {"rms", "layer"});
  spec.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  spec.placement = cfg.take_choice("norm_placement", "pre", {"pre", "post"}) == "pre" ? NormPlacement::pre : NormPlacement::post;
  spec.tied = cfg.take<bool>("tied", spec.tied);
  spec.embedding_scale = cfg.take<double>("embedding_scale", spec.embedding_scale);
  spec.embedding_norm = cfg.take<bool>("embedding_norm", spec.embedding_norm);
  spec.init_std = cfg.take_in<double>("init_std", spec.init_std, 0, 10);
  spec.init_scaled_residual = cfg.take<bool>("init_scaled_residual", spec.init_scaled_residual);
  spec.positions = cfg.take_choice("positions", spec.positions, {"none", "learned"});
  spec.max_positions = cfg.take_in<int64_t>("max_positions", spec.max_positions, 1, 1 << 24);
  spec.objective = cfg.take<std::string>("objective", spec.objective);
  spec.dtype = cfg.take_choice("dtype", spec.dtype, {"bf16", "f32", "f64"});

  const Json layers = cfg.take_json("layers");
  if (layers.is_number_integer()) {
    // `layers = N`: all alike, but for the layers that `dense_layers` lists, which take [model.dense] as channel mixer.
    const auto n = layers.get<int64_t>();
    if (n < 1 || n > 4096) cfg.reject("layers", "must lie between 1 and 4096, not " + layers.dump());
    const LayerSpec layer{component(cfg, "mixer", "attention"), component(cfg, "channel", "ffn")};
    spec.layers.assign(static_cast<size_t>(n), layer);
    const auto dense_layers = cfg.take<std::vector<int64_t>>("dense_layers", {});
    const Component dense = component(cfg, "dense", "ffn");
    for (const int64_t i : dense_layers) {
      if (i < 0 || i >= n) cfg.reject("dense_layers", "names layer " + std::to_string(i) + " of " + std::to_string(n));
      spec.layers[static_cast<size_t>(i)].channel = dense;
    }
  } else if (layers.is_array() && !layers.empty()) {
    for (size_t i = 0; i < layers.size(); ++i) {
      Config layer(layers[i], cfg.origin(), "layers." + std::to_string(i));
      spec.layers.push_back({component(layer, "mixer", "attention"), component(layer, "channel", "ffn")});
      layer.finish();
    }
  } else {
    cfg.reject("layers", "must be the number of layers or a list of tables", "for example layers = 4");
  }
  return spec;
}

Json ModelSpec::to_json() const {
  Json out = {{"vocab", vocab}, {"width", width}, {"norm", norm}, {"norm_eps", norm_eps},
              {"norm_placement", placement == NormPlacement::pre ? "pre" : "post"}, {"tied", tied},
              {"embedding_scale", embedding_scale}, {"embedding_norm", embedding_norm}, {"init_std", init_std}, {"init_scaled_residual", init_scaled_residual},
              {"positions", positions}, {"max_positions", max_positions}, {"objective", objective}, {"dtype", dtype}};
  if (std::all_of(layers.begin(), layers.end(), [&](const LayerSpec& l) { return l == layers[0]; })) {
    out["layers"] = layers.size();
    if (!layers.empty()) {
      out["mixer"] = gamut::to_json(layers[0].mixer);
      out["channel"] = gamut::to_json(layers[0].channel);
    }
  } else {
    out["layers"] = Json::array();
    for (const LayerSpec& l : layers) out["layers"].push_back({{"mixer", gamut::to_json(l.mixer)}, {"channel", gamut::to_json(l.channel)}});
  }
  return out;
}

}  // namespace gamut
