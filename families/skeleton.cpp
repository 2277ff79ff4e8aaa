#include "families/skeleton.h"

#include <algorithm>

namespace gamut {
namespace {

// transformers' name, ours. The first row of each of ours is written.
const std::vector<std::pair<std::string, std::string>> kActivations{
    {"silu", "silu"}, {"swish", "silu"}, {"gelu", "gelu"}, {"gelu_pytorch_tanh", "gelu_tanh"}, {"gelu_new", "gelu_tanh"}, {"relu", "relu"},
    {"relu2", "relu2"}, {"quick_gelu", "quick_gelu"}, {"tanh", "tanh"}, {"linear", "identity"}};

const std::vector<std::pair<std::string, std::string>> kTypes{{"float32", "f32"}, {"bfloat16", "bf16"}, {"float64", "f64"}, {"float16", "f32"}};

void ignore_what_has_no_influence(Config& cfg) {
  for (const char* key : {"architectures", "transformers_version", "_name_or_path", "use_cache", "output_attentions", "output_hidden_states", "return_dict",
                          "is_encoder_decoder", "is_decoder", "id2label", "label2id", "problem_type", "torchscript", "chunk_size_feed_forward"})
    cfg.ignore(key, "says nothing about what is computed");
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) cfg.ignore(key, "read for generation");
  cfg.ignore("attention_dropout", "training of the original");
  cfg.ignore("pretraining_tp", "how the original was split over devices");
}

// Both styles: rope_parameters (transformers 5), or rope_theta with rope_scaling.
double take_rope_theta(Config& cfg, double fallback) {
  double theta = cfg.take_in<double>("rope_theta", fallback, 1e-9, 1e30);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    Config rope = cfg.sub(key);
    const std::string older = rope.take<std::string>("type", "default"), kind = rope.take<std::string>("rope_type", older);
    if (kind != "default")
      cfg.reject(key, "asks for rotary scaling of kind '" + kind + "', which is not supported", "supported: default");
    theta = rope.take_in<double>("rope_theta", theta, 1e-9, 1e30);
    if (rope.take<double>("partial_rotary_factor", 1.0) != 1.0) cfg.reject(key, "rotates a part of each head, which this family does not");
    rope.finish();
  }
  return theta;
}

}  // namespace

std::string take_activation(Config& cfg) {
  std::vector<std::string> known;
  for (const auto& [key, ours] : kActivations) known.push_back(key);
  const std::string name = cfg.take_choice("hidden_act", "silu", known);
  return std::find_if(kActivations.begin(), kActivations.end(), [&](const auto& row) { return row.first == name; })->second;
}

std::string activation_key(const std::string& activation) {
  for (const auto& [key, ours] : kActivations)
    if (ours == activation) return key;
  return "";
}

ModelSpec read_skeleton(Config& cfg, const SkeletonDefaults& defaults) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 32000, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 4096, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("rms_norm_eps", defaults.norm_eps, 0, 1);
  spec.tied = cfg.take<bool>("tie_word_embeddings", false);
  spec.init_std = cfg.take_in<double>("initializer_range", 0.02, 0, 10);
  spec.init_scaled_residual = false;
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", defaults.max_positions, 1, 1 << 24);
  std::vector<std::string> types;
  for (const auto& [key, ours] : kTypes) types.push_back(key);
  const std::string type = cfg.take_choice("dtype", cfg.take_choice("torch_dtype", "float32", types), types);
  spec.dtype = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& row) { return row.first == type; })->second;

  const auto heads = cfg.take_in<int64_t>("num_attention_heads", 32, 1, 65536);
  const auto kv_heads = cfg.take_in<int64_t>("num_key_value_heads", defaults.kv_heads > 0 ? defaults.kv_heads : heads, 1, 65536);
  auto head_dim = cfg.take_in<int64_t>("head_dim", 0, 0, 65536);
  if (head_dim == 0) {
    if (spec.width % heads != 0) cfg.reject("num_attention_heads", "must divide hidden_size (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
    head_dim = spec.width / heads;
  }
  Component attention{"attention", {{"heads", heads}, {"kv_heads", kv_heads}, {"head_dim", head_dim}}};
  attention.options["rope_theta"] = take_rope_theta(cfg, defaults.rope_theta);
  if (cfg.take<bool>("attention_bias", false)) attention.options["bias"] = true;
  if (const auto window = cfg.take_in<int64_t>("sliding_window", 0, 0, int64_t{1} << 40); window > 0) attention.options["window"] = window;
  const auto layers = cfg.take_in<int64_t>("num_hidden_layers", 32, 1, 4096);
  spec.layers.assign(static_cast<size_t>(layers), LayerSpec{attention, Component{}});
  ignore_what_has_no_influence(cfg);
  return spec;
}

Skeleton understand_skeleton(const ModelSpec& spec) {
  Skeleton s;
  const auto cannot = [&](const std::string& why) {
    if (s.obstacle.empty()) s.obstacle = why;
  };
  if (spec.norm != "rms") cannot("norm = \"" + spec.norm + "\"");
  if (spec.placement != NormPlacement::pre) cannot("post-norm layers");
  if (spec.embedding_scale != 1) cannot("a scaled embedding");
  if (spec.objective != "causal") cannot("the objective " + spec.objective);
  for (const LayerSpec& layer : spec.layers) {
    if (layer.mixer.kind != "attention") cannot("the mixer " + layer.mixer.kind);
    if (!(layer.mixer == spec.layers[0].mixer)) cannot("layers whose mixers differ");
  }
  if (!s.obstacle.empty()) return s;
  Config cfg(spec.layers[0].mixer.options, {.source = "model"});
  const AttentionOptions a = s.attention = AttentionOptions::take(cfg, spec);
  if (!a.rope || a.rotary != a.head_dim || a.interleaved) cannot("positions other than rotation of whole heads in halves");
  if (a.qk_norm) cannot("normalised queries and keys");
  if (a.bias != a.output_bias) cannot("a bias in only some of attention's projections");
  return s;
}

Json write_skeleton(const ModelSpec& spec, const AttentionOptions& a, const std::string& model_type, const std::string& architecture) {
  std::string type;
  for (const auto& [key, ours] : kTypes)
    if (ours == spec.dtype && type.empty()) type = key;
  Json config = {{"architectures", {architecture}}, {"model_type", model_type}, {"vocab_size", spec.vocab}, {"hidden_size", spec.width},
                 {"num_hidden_layers", spec.layers.size()}, {"num_attention_heads", a.heads}, {"num_key_value_heads", a.kv_heads}, {"head_dim", a.head_dim},
                 {"max_position_embeddings", spec.max_positions}, {"rms_norm_eps", spec.norm_eps}, {"rope_theta", a.rope_theta}, {"rope_scaling", nullptr},
                 {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied}, {"use_cache", true}, {"torch_dtype", type}};
  return config;
}

NameMap::NameMap(const Model& model) {
  for (const Parameter& p : model.parameters().all()) shapes_.emplace(p.name, p.value.shape());
}

void NameMap::whole(const std::string& name, const std::string& parameter, double factor) {
  const Shape& s = shapes_.at(parameter);
  tensors_.push_back({name, {s.dims().begin(), s.dims().end()}, {{parameter, 0, s.elements()}}, factor});
}

void NameMap::skeleton(const ModelSpec& spec) {
  whole("model.embed_tokens.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string theirs = "model.layers." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    whole(theirs + "input_layernorm.weight", ours + "mixer_norm");
    for (const auto& [their, our] : {std::pair("q", "query"), std::pair("k", "key"), std::pair("v", "value"), std::pair("o", "output")}) {
      whole(theirs + "self_attn." + their + "_proj.weight", ours + "mixer." + our);
      if (has(ours + "mixer." + our + "_bias")) whole(theirs + "self_attn." + their + "_proj.bias", ours + "mixer." + our + "_bias");
    }
    whole(theirs + "post_attention_layernorm.weight", ours + "channel_norm");
  }
  whole("model.norm.weight", "final_norm");
  if (!spec.tied) whole("lm_head.weight", "head");
}

bool skeleton_ignores(const ModelSpec& spec, const std::string& tensor) {
  return tensor.ends_with("rotary_emb.inv_freq") || (spec.tied && tensor == "lm_head.weight");
}

}  // namespace gamut
