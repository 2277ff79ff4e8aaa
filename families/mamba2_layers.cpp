#include <cmath>
#include <limits>

#include "families/decoder.h"
#include "families/mamba_layers.h"

namespace gamut {
namespace {

// A number, or an infinity in one of the spellings found in files.
double bound(Config& cfg, const Json& value) {
  if (value.is_number()) return value.get<double>();
  const Json text = value.is_object() && value.contains("__float__") ? value["__float__"] : value;
  if (text == "Infinity" || text == "inf") return std::numeric_limits<float>::max();
  cfg.reject("time_step_limit", "holds " + value.dump() + ", expected a number or \"Infinity\"");
}

constexpr Mamba2Keys kHybrid{.heads = "mamba_n_heads",
                             .head_dim = "mamba_d_head",
                             .groups = "mamba_n_groups",
                             .state = "mamba_d_state",
                             .conv = "mamba_d_conv",
                             .expand = "mamba_expand",
                             .conv_bias = "mamba_conv_bias",
                             .bias = "mamba_proj_bias",
                             .chunk = "mamba_chunk_size",
                             .groups_default = 1,
                             .state_default = 256,
                             .head_dim_default = 0};

}  // namespace

Component take_mamba2(Config& cfg, const ModelSpec& spec, const Mamba2Keys& keys) {
  const auto heads = cfg.take_in<int64_t>(keys.heads, 128, 1, 65536);
  int64_t head_dim = keys.head_dim_default;
  if (const Json said = cfg.take_json(keys.head_dim); said.is_number_integer())
    head_dim = said.get<int64_t>();
  else if (!said.is_null() && (said != "auto" || keys.head_dim_default != 0))
    cfg.reject(keys.head_dim, "must be a whole number, not " + said.dump());
  const auto inner = keys.expand ? static_cast<int64_t>(cfg.take_in<double>(keys.expand, 2.0, 1e-3, 1e3) * static_cast<double>(spec.width)) : heads * head_dim;
  if (head_dim == 0) head_dim = inner / heads;
  if (!keys.expand && (head_dim < 1 || head_dim > 65536)) cfg.reject(keys.head_dim, "must lie between 1 and 65536, not " + std::to_string(head_dim));
  if (head_dim < 1 || head_dim > 65536 || inner != heads * head_dim)
    cfg.reject(keys.heads, "times " + std::string(keys.head_dim) + " is " + std::to_string(heads * head_dim) + ", but " + keys.expand + "·hidden_size is " +
                               std::to_string(inner));
  Component mixer{"mamba2",
                  {{"heads", heads},
                   {"head_dim", head_dim},
                   {"groups", cfg.take_in<int64_t>(keys.groups, keys.groups_default, 1, 65536)},
                   {"state", cfg.take_in<int64_t>(keys.state, keys.state_default, 1, 65536)},
                   {"conv", cfg.take_in<int64_t>(keys.conv, 4, 1, 16)},
                   {"conv_bias", cfg.take<bool>(keys.conv_bias, true)},
                   {"bias", cfg.take<bool>(keys.bias, false)},
                   {"activation", take_activation(cfg, keys.activation)}}};
  if (keys.step_min) {
    if (const auto least = cfg.take_in<double>(keys.step_min, 0.001, 0, 1e6); least > 0) mixer.options["step_min"] = least;
  } else if (const Json limit = cfg.take_json("time_step_limit"); !limit.is_null()) {
    if (!limit.is_array() || limit.size() != 2) cfg.reject("time_step_limit", "must be a list of two numbers, not " + limit.dump());
    if (const double least = bound(cfg, limit[0]); least > 0) mixer.options["step_min"] = least;
    if (const double most = bound(cfg, limit[1]); most < std::numeric_limits<float>::max()) mixer.options["step_max"] = most;
  }
  cfg.ignore(keys.chunk, "how, not what, is computed");
  return mixer;
}

std::string write_mamba2(const ModelSpec& spec, const Component& mixer, const Mamba2Keys& keys, Json& config) {
  Config cfg(mixer.options, {.source = "model"});
  const Mamba2Options o = Mamba2Options::take(cfg, spec);
  if (!o.norm || o.norm_groups != o.groups || o.norm_eps != spec.norm_eps) return "another norm of the result";
  config.update({{keys.heads, o.heads},
                 {keys.head_dim, o.head_dim},
                 {keys.groups, o.groups},
                 {keys.state, o.state},
                 {keys.conv, o.conv},
                 {keys.conv_bias, o.conv_bias},
                 {keys.bias, o.bias},
                 {keys.chunk, 64}});
  config[keys.activation] = activation_key(mixer.options.value("activation", "silu"));
  if (keys.expand) {
    const double expand = static_cast<double>(o.heads * o.head_dim) / static_cast<double>(spec.width);
    if (static_cast<int64_t>(expand * static_cast<double>(spec.width)) != o.heads * o.head_dim) return "an inner width that is no multiple of the width";
    config[keys.expand] = expand;
    if (expand == std::floor(expand)) config[keys.expand] = static_cast<int64_t>(expand);
  }
  if (keys.step_min) {
    if (o.step_max < std::numeric_limits<float>::max()) return "steps with an upper end";
    config[keys.step_min] = o.step_min;
  } else if (o.step_min > 0 || o.step_max < std::numeric_limits<float>::max()) config["time_step_limit"] = {o.step_min, o.step_max};
  return "";
}

void name_mamba2(NameMap& map, const std::string& theirs, const std::string& ours) {
  const std::vector<std::string> rows{ours + "gate", ours + "value", ours + "key", ours + "query", ours + "step"},
      convs{ours + "value_conv", ours + "key_conv", ours + "query_conv"};
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

void mamba2_keys(Keys& k, const ModelSpec& spec, std::optional<Component>& mixer) { mamba2_keys(k, spec, mixer, kHybrid); }
void mamba2_keys(Keys& k, const ModelSpec& spec, std::optional<Component>& mixer, const Mamba2Keys& keys) {
  if (k.reading()) {
    mixer = take_mamba2(k.config(), spec, keys);
  } else if (!mixer || mixer->kind != "mamba2") {
    throw Error({.who = "model", .what = "no layer of Mamba-2"});
  } else if (const std::string why = write_mamba2(spec, *mixer, keys, k.json()); !why.empty()) {
    throw Error({.who = "model", .what = why});
  } else {  // as it will be read: defaults said
    Config written(k.json(), {.source = "config.json"});
    mixer = take_mamba2(written, spec, keys);
  }
}

}  // namespace gamut
