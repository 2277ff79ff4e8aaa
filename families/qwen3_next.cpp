// Qwen3-Next: three layers of Gated DeltaNet to one of gated attention, a mixture of experts with a gated shared expert in each. [Qwen Team 2025]
#include <algorithm>

#include "families/dense.h"
#include "families/experts.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

constexpr Dialect kDialect{.model_type = "qwen3_next", .architecture = "Qwen3NextForCausalLM", .kv_heads = 2, .head_dim = 256, .max_positions = 32768, .bias = Dialect::Bias::key, .qk_norm = QkNorm::head,
                           .rotary = 0.25, .gate = true, .centre = 1};
constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 512,
                                 .top_k = 10,
                                 .normalise_key = "norm_topk_prob",
                                 .shared_hidden_key = "shared_expert_intermediate_size",
                                 .shared_gate = true,
                                 .dense_layers = true};

ModelSpec read(Config& cfg) {
  ModelSpec spec = read_sparse(cfg, kDialect, kExperts);
  const Component linear{"gated_deltanet",
                         {{"key_heads", cfg.take_in<int64_t>("linear_num_key_heads", 16, 1, 65536)},
                          {"value_heads", cfg.take_in<int64_t>("linear_num_value_heads", 32, 1, 65536)},
                          {"key_dim", cfg.take_in<int64_t>("linear_key_head_dim", 128, 1, 65536)},
                          {"value_dim", cfg.take_in<int64_t>("linear_value_head_dim", 128, 1, 65536)},
                          {"conv", cfg.take_in<int64_t>("linear_conv_kernel_dim", 4, 1, 16)},
                          {"activation", take_activation(cfg)}}};
  const auto types = cfg.take<std::vector<std::string>>("layer_types", {});
  const auto every = cfg.take_in<int64_t>("full_attention_interval", 4, 1, 4096);
  if (!types.empty() && types.size() != spec.layers.size()) cfg.reject("layer_types", "names " + std::to_string(types.size()) + " layers, num_hidden_layers says " + std::to_string(spec.layers.size()));
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string type = !types.empty() ? types[i] : (static_cast<int64_t>(i) + 1) % every == 0 ? "full_attention" : "linear_attention";
    if (type == "linear_attention") spec.layers[i].mixer = linear;
    else if (type != "full_attention") cfg.reject("layer_types", "holds '" + type + "'; expected full_attention or linear_attention");
  }
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  // The skeleton judges the attention layers; the others take their place for it.
  const Component *attention = nullptr, *linear = nullptr;
  Json types = Json::array();
  for (const LayerSpec& layer : spec.layers) {
    const bool is_linear = layer.mixer.kind == "gated_deltanet";
    const Component*& kind = is_linear ? linear : attention;
    if (!kind) kind = &layer.mixer;
    if (!(layer.mixer == *kind)) return {{}, "mixers of several kinds"};
    types.push_back(is_linear ? "linear_attention" : "full_attention");
  }
  if (!linear || !attention) return {{}, "no Gated DeltaNet beside attention"};
  ModelSpec alike = spec;
  for (LayerSpec& layer : alike.layers) layer.mixer = *attention;
  Family::Written written = write_sparse(alike, kDialect, kExperts);
  if (!written.obstacle.empty()) return written;
  Config cfg(linear->options, {.source = "model"});
  const GatedDeltaNetOptions o = GatedDeltaNetOptions::take(cfg, spec);
  if (o.norm_eps != spec.norm_eps) return {{}, "an epsilon of its own in Gated DeltaNet"};
  if (written.config["hidden_act"] != activation_key(linear->options.value("activation", "silu")))
    return {{}, "different activations of experts and Gated DeltaNet"};
  written.config.update({{"layer_types", types}, {"linear_num_key_heads", o.key_heads}, {"linear_num_value_heads", o.value_heads}, {"linear_key_head_dim", o.key_dim},
                         {"linear_value_head_dim", o.value_dim}, {"linear_conv_kernel_dim", o.conv}});
  return written;
}

// Rows of in_proj_qkvz and in_proj_ba are grouped by key head: its query and key, then the values and gates (β and decay) of its value heads.
void name_linear(NameMap& map, const ModelSpec& spec, size_t layer) {
  const std::string theirs = "model.layers." + std::to_string(layer) + ".linear_attn.", ours = "layers." + std::to_string(layer) + ".mixer.";
  Config cfg(spec.layers[layer].mixer.options, {.source = "model"});
  const GatedDeltaNetOptions o = GatedDeltaNetOptions::take(cfg, spec);
  const int64_t d = spec.width, shared = o.value_heads / o.key_heads, value_rows = shared * o.value_dim;
  StoredTensor qkvz{theirs + "in_proj_qkvz.weight", {2 * o.key_heads * o.key_dim + 2 * o.value_heads * o.value_dim, d}, {}}, ba{theirs + "in_proj_ba.weight", {2 * o.value_heads, d}, {}};
  for (int64_t h = 0; h < o.key_heads; ++h) {
    for (const char* name : {"query", "key"}) qkvz.parts.push_back({ours + name, h * o.key_dim * d, o.key_dim * d});
    for (const char* name : {"value", "gate"}) qkvz.parts.push_back({ours + name, h * value_rows * d, value_rows * d});
    for (const char* name : {"beta", "decay"}) ba.parts.push_back({ours + name, h * shared * d, shared * d});
  }
  map.add(std::move(qkvz));
  map.add(std::move(ba));
  map.stacked(theirs + "conv1d.weight", {ours + "query_conv", ours + "key_conv", ours + "value_conv"}, {2 * o.key_heads * o.key_dim + o.value_heads * o.value_dim, 1, o.conv});
  map.whole(theirs + "A_log", ours + "decay_rate");
  map.whole(theirs + "dt_bias", ours + "decay_bias");
  map.whole(theirs + "norm.weight", ours + "norm");
  map.whole(theirs + "out_proj.weight", ours + "output");
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  map.skeleton(spec, kDialect);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    if (spec.layers[i].mixer.kind == "gated_deltanet") name_linear(map, spec, i);
    if (spec.layers[i].channel.kind == "ffn") name_gated_ffn(map, i);
    else name_experts(map, spec.layers[i].channel, "layers." + std::to_string(i) + ".channel.", "model.layers." + std::to_string(i) + ".", kExperts, present);
  }
  return map.take();
}

// Multi-token prediction is a model beside this one.
bool ignores(const ModelSpec& spec, const std::string& tensor) { return skeleton_ignores(spec, tensor) || tensor.starts_with("mtp."); }

}  // namespace

Family qwen3_next() {
  return {"qwen3_next", "Three layers of Gated DeltaNet to one of gated attention, each with a mixture of experts and a gated shared expert. [Qwen Team, Qwen3-Next, 2025]", read, write, tensors, ignores};
}

}  // namespace gamut::family
