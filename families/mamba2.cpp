// Mamba-2: state-space duality layers alone. [Dao & Gu 2024]
#include <cmath>
#include <limits>

#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

// A number, or an infinity in one of the spellings found in files.
double bound(Config& cfg, const Json& value) {
  if (value.is_number()) return value.get<double>();
  const Json text = value.is_object() && value.contains("__float__") ? value["__float__"] : value;
  if (text == "Infinity" || text == "inf") return std::numeric_limits<float>::max();
  cfg.reject("time_step_limit", "holds " + value.dump() + ", expected a number or \"Infinity\"");
}

ModelSpec read(Config& cfg) {
  ModelSpec spec = read_backbone(cfg, false);
  const double expand = cfg.take_in<double>("expand", 2.0, 1e-3, 1e3);
  const auto heads = cfg.take_in<int64_t>("num_heads", 128, 1, 65536), head_dim = cfg.take_in<int64_t>("head_dim", 64, 1, 65536);
  if (static_cast<int64_t>(expand * static_cast<double>(spec.width)) != heads * head_dim)
    cfg.reject("num_heads", "times head_dim is " + std::to_string(heads * head_dim) + ", but expand·hidden_size is " + std::to_string(static_cast<int64_t>(expand * static_cast<double>(spec.width))));
  Component mixer{"mamba2", {{"heads", heads}, {"head_dim", head_dim}, {"groups", cfg.take_in<int64_t>("n_groups", 8, 1, 65536)}, {"state", cfg.take_in<int64_t>("state_size", 128, 1, 65536)},
                             {"conv", cfg.take_in<int64_t>("conv_kernel", 4, 1, 16)}, {"conv_bias", cfg.take<bool>("use_conv_bias", true)}, {"bias", cfg.take<bool>("use_bias", false)}}};
  if (const Json limit = cfg.take_json("time_step_limit"); !limit.is_null()) {
    if (!limit.is_array() || limit.size() != 2) cfg.reject("time_step_limit", "must be a list of two numbers, not " + limit.dump());
    mixer.options["step_min"] = bound(cfg, limit[0]);
    mixer.options["step_max"] = bound(cfg, limit[1]);
  }
  if (!cfg.take<bool>("norm_before_gate", false)) cfg.ignore("rms_norm", "always");
  else cfg.reject("norm_before_gate", "asks for the norm before the gate, which this family does not have here");
  cfg.ignore("time_step_rank", "of Mamba-1");
  for (LayerSpec& layer : spec.layers) layer.mixer = mixer;
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  Json config;
  if (const std::string why = write_backbone(spec, "mamba2", config); !why.empty()) return {{}, why};
  Config cfg(spec.layers[0].mixer.options, {.source = "model"});
  const Mamba2Options o = Mamba2Options::take(cfg, spec);
  if (!o.norm || o.norm_groups != o.groups || o.norm_eps != spec.norm_eps) return {{}, "another norm of the result"};
  const double expand = static_cast<double>(o.heads * o.head_dim) / static_cast<double>(spec.width);
  if (static_cast<int64_t>(expand * static_cast<double>(spec.width)) != o.heads * o.head_dim) return {{}, "an inner width that is no multiple of the width"};
  config.update({{"model_type", "mamba2"}, {"architectures", {"Mamba2ForCausalLM"}}, {"expand", expand}, {"num_heads", o.heads}, {"head_dim", o.head_dim}, {"n_groups", o.groups},
                 {"state_size", o.state}, {"conv_kernel", o.conv}, {"use_conv_bias", o.conv_bias}, {"use_bias", o.bias}, {"chunk_size", 64}});
  if (expand == std::floor(expand)) config["expand"] = static_cast<int64_t>(expand);
  if (o.step_min > 0 || o.step_max < std::numeric_limits<float>::max()) config["time_step_limit"] = {o.step_min, o.step_max};
  return {config, ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  name_backbone(map, model.spec(), present);
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    const std::string theirs = "backbone.layers." + std::to_string(i) + ".mixer.", ours = "layers." + std::to_string(i) + ".mixer.";
    const std::vector<std::string> rows{ours + "gate", ours + "value", ours + "key", ours + "query", ours + "step"}, convs{ours + "value_conv", ours + "key_conv", ours + "query_conv"};
    const auto biases = [](std::vector<std::string> names) {
      for (std::string& name : names) name += "_bias";
      return names;
    };
    map.stacked(theirs + "in_proj.weight", rows);
    if (map.has(ours + "gate_bias")) {
      std::vector<std::string> all = biases(rows);
      all.back() = ours + "step_projection_bias";
      map.stacked(theirs + "in_proj.bias", all);
    }
    int64_t channels = 0;
    for (const std::string& name : convs) channels += map.shape(name)[0];
    map.stacked(theirs + "conv1d.weight", convs, {channels, 1, map.shape(convs[0])[1]});
    if (map.has(ours + "value_conv_bias")) map.stacked(theirs + "conv1d.bias", biases(convs));
    map.whole(theirs + "dt_bias", ours + "step_bias");
    map.whole(theirs + "A_log", ours + "decay_rate");
    map.whole(theirs + "D", ours + "skip");
    map.optional(theirs + "norm.weight", ours + "norm");
    map.whole(theirs + "out_proj.weight", ours + "output");
    map.optional(theirs + "out_proj.bias", ours + "output_bias");
  }
  return map.take();
}

}  // namespace

Family mamba2() {
  return {"mamba2", "State-space duality layers and nothing else: one decay per head, chunks as products of matrices. [Dao & Gu, Transformers are SSMs, 2024]", read, write, tensors, mamba_model_ignores};
}

}  // namespace gamut::family
