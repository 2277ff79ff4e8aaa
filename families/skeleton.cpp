#include "families/skeleton.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace gamut {
namespace {

// transformers' name, ours. The first row of each of ours is written.
const std::vector<std::pair<std::string, std::string>> kActivations{{"silu", "silu"},
                                                                    {"swish", "silu"},
                                                                    {"gelu", "gelu"},
                                                                    {"gelu_pytorch_tanh", "gelu_tanh"},
                                                                    {"gelu_new", "gelu_tanh"},
                                                                    {"relu", "relu"},
                                                                    {"relu2", "relu2"},
                                                                    {"quick_gelu", "quick_gelu"},
                                                                    {"tanh", "tanh"},
                                                                    {"linear", "identity"},
                                                                    {"gelu_fast", "gelu_tanh"},
                                                                    {"gelu_accurate", "gelu_tanh"},
                                                                    {"gelu_python_tanh", "gelu_tanh"},
                                                                    {"gelu_python", "gelu"},
                                                                    {"sigmoid", "sigmoid"},
                                                                    {"mish", "mish"},
                                                                    {"leaky_relu", "leaky_relu"},
                                                                    {"relu6", "relu6"},
                                                                    {"hardswish", "hardswish"},
                                                                    {"laplace", "laplace"},
                                                                    {"sqrtsoftplus", "sqrt_softplus"},
                                                                    {"gelu_10", "gelu_10"}};

const std::vector<std::pair<std::string, std::string>> kTypes{{"float32", "f32"}, {"bfloat16", "bf16"}, {"float64", "f64"}, {"float16", "f32"}};

std::vector<std::string> firsts(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(row.first);
  return out;
}
std::string second_of(const std::vector<std::pair<std::string, std::string>>& rows, const std::string& first) {
  return std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.first == first; })->second;
}
std::string first_of(const std::vector<std::pair<std::string, std::string>>& rows, const std::string& second) {
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.second == second; });
  return it == rows.end() ? "" : it->first;
}

// rope_scaling, or the scaling part of rope_parameters, as Gamut's rope_scaling table; null without scaling.
Json take_scaling(Config& rope, int64_t max_positions, int64_t original_positions) {
  const std::string older = rope.take<std::string>("type", "default");
  std::string kind = rope.take<std::string>("rope_type", older);
  if (kind == "su") kind = "longrope";  // its first name
  if (kind == "default") return {};
  const std::vector<std::string> known{"linear", "dynamic", "yarn", "llama3", "longrope", "proportional"};
  if (std::find(known.begin(), known.end(), kind) == known.end())
    rope.reject("rope_type", "is '" + kind + "', a rotary scaling this family does not have", "known: default, " + join(known, ", "));
  Json out = {{"kind", kind}};
  // transformers' dynamic scaling counts from max_position_embeddings whatever else is said.
  const auto said = rope.take_in<int64_t>("original_max_position_embeddings", max_positions, 1, int64_t{1} << 40), original = original_positions > 0 ? original_positions : said;
  if (kind == "proportional") {
    out["factor"] = rope.take<double>("factor", 1.0);
    return out;
  }
  if (kind != "linear") out["original_positions"] = kind == "dynamic" ? max_positions : original;
  const double factor = (kind == "yarn" || kind == "longrope") && (!rope.has("factor") || rope.is_null("factor")) ? static_cast<double>(max_positions) / static_cast<double>(original) : 0;
  if (factor > 0) rope.ignore("factor", "null: from the lengths");
  out["factor"] = factor > 0 ? factor : rope.take<double>("factor");
  if (kind == "llama3") {
    out["low_factor"] = rope.take<double>("low_freq_factor");
    out["high_factor"] = rope.take<double>("high_freq_factor");
  }
  if (kind == "longrope") {
    out["factor"] = std::max(1.0, out["factor"].get<double>());
    out["short_factors"] = rope.take<std::vector<double>>("short_factor");
    out["long_factors"] = rope.take<std::vector<double>>("long_factor");
    if (const double given = rope.take<double>("attention_factor", 0.0); given > 0) out["amplitude"] = given;
    if (rope.has("long_mscale")) {  // Phi-3.5-MoE's, instead
      out["amplitude"] = rope.take<double>("short_mscale");
      out["long_amplitude"] = rope.take<double>("long_mscale");
    }
  }
  if (kind == "yarn") {
    for (const char* key : {"beta_fast", "beta_slow"})
      if (rope.has(key)) out[key] = rope.take<double>(key);
    if (!rope.take<bool>("truncate", true)) out["truncate"] = false;
    const double all = rope.take<double>("mscale_all_dim", 0.0), one = rope.take<double>("mscale", 0.0), given = rope.take<double>("attention_factor", 0.0);
    const auto amplitude = [&](double m) { return out["factor"].get<double>() <= 1 ? 1.0 : 0.1 * m * std::log(out["factor"].get<double>()) + 1; };
    if (given > 0) out["amplitude"] = given;
    else if (one != 0 && all != 0) out["amplitude"] = amplitude(one) / amplitude(all);
  }
  return out;
}

Json scaling_keys(const RopeScaling& s) {
  if (s.kind == "none") return {};
  Json out = {{"rope_type", s.kind}, {"factor", s.factor}};
  if (s.kind == "proportional") out["partial_rotary_factor"] = s.share;
  if (s.kind == "llama3" || s.kind == "yarn" || s.kind == "longrope") out["original_max_position_embeddings"] = s.original_positions;
  if (s.kind == "llama3") {
    out["low_freq_factor"] = s.low_factor;
    out["high_freq_factor"] = s.high_factor;
  }
  if (s.kind == "longrope") {
    out["short_factor"] = s.short_factors;
    out["long_factor"] = s.long_factors;
    if (s.long_amplitude > 0) {
      out["short_mscale"] = s.amplitude;
      out["long_mscale"] = s.long_amplitude;
    } else if (s.amplitude > 0) {
      out["attention_factor"] = s.amplitude;
    }
  }
  if (s.kind == "yarn") {
    out["beta_fast"] = s.beta_fast;
    out["beta_slow"] = s.beta_slow;
    if (!s.truncate) out["truncate"] = false;
    if (s.amplitude > 0) out["attention_factor"] = s.amplitude;
  }
  return out;
}

// Both styles: rope_parameters (transformers 5), or rope_theta with rope_scaling.
void take_rope(Config& cfg, const ModelSpec& spec, const Dialect& dialect, int64_t head_dim, Component& attention) {
  const bool partial = dialect.partial || dialect.rotary != 1;
  double theta = cfg.take_in<double>("rope_theta", dialect.rope_theta, 1e-9, 1e30), share = cfg.take_in<double>("partial_rotary_factor", dialect.rotary, 0, 1);
  const auto original = cfg.take_in<int64_t>("original_max_position_embeddings", 0, 0, int64_t{1} << 40);  // before that of the scaling
  Json scaling;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    Config rope = cfg.sub(key);
    theta = rope.take_in<double>("rope_theta", theta, 1e-9, 1e30);
    share = rope.take_in<double>("partial_rotary_factor", share, 0, 1);
    if (const Json found = take_scaling(rope, spec.max_positions, original); !found.is_null()) scaling = found;
    rope.finish();
  }
  if (scaling.is_object() && scaling["kind"] == "proportional") scaling["share"] = std::exchange(share, 1.0);  // the whole head "rotates"
  if (share != 1 && !partial) cfg.reject("partial_rotary_factor", "rotates a part of each head, which this family does not");
  auto rotary = static_cast<int64_t>(share * static_cast<double>(head_dim));
  if (share != 1 && rotary % 2 != 0) {
    if (scaling.is_object() && (scaling["kind"] == "yarn" || scaling["kind"] == "dynamic"))
      cfg.reject("partial_rotary_factor",
                 "lets " + std::to_string(rotary) + " dimensions of a head rotate, an odd number that " + scaling["kind"].get<std::string>() + " scaling cannot have");
    // One dimension more rotates, by angles as if it did not.
    theta = std::pow(theta, static_cast<double>(rotary + 1) / static_cast<double>(rotary));
    ++rotary;
  }
  attention.options["rope_theta"] = theta;
  if (!scaling.is_null()) attention.options["rope_scaling"] = scaling;
  if (share != 1) attention.options["rotary"] = rotary;
}

}  // namespace

RopeOptions take_rope_options(Config& cfg, const ModelSpec& spec, const Dialect& dialect, int64_t head_dim) {
  Component attention{"attention", {{"heads", 1}, {"head_dim", head_dim}}};
  take_rope(cfg, spec, dialect, head_dim, attention);
  Config options(attention.options, {.source = "model"});
  return AttentionOptions::take(options, spec).rotation;
}
Json rope_scaling_keys(const RopeScaling& scaling) { return scaling_keys(scaling); }

namespace {

// The window of every layer, 0 for none.
std::vector<int64_t> take_windows(Config& cfg, const Dialect& dialect, size_t layers) {
  std::vector<int64_t> windows(layers, 0);
  if (dialect.windows == Dialect::Windows::none) return windows;
  const auto window = cfg.take_in<int64_t>("sliding_window", cfg.is_null("sliding_window") ? 0 : dialect.window, 0, int64_t{1} << 40);
  if (dialect.windows == Dialect::Windows::all) return std::vector<int64_t>(layers, window);
  const bool used = cfg.take<bool>("use_sliding_window", false);
  const auto first = cfg.take_in<int64_t>("max_window_layers", 28, 0, 4096);
  const bool by_layer = dialect.windows == Dialect::Windows::by_layer;
  const auto types = by_layer ? cfg.take<std::vector<std::string>>("layer_types", {}) : std::vector<std::string>();
  if (!types.empty() && types.size() != layers) cfg.reject("layer_types", "names " + std::to_string(types.size()) + " layers, num_hidden_layers says " + std::to_string(layers));
  for (size_t i = 0; i < layers; ++i) {
    if (!types.empty() && types[i] != "full_attention" && types[i] != "sliding_attention")
      cfg.reject("layer_types", "holds '" + types[i] + "'; expected full_attention or sliding_attention");
    const bool slides = !by_layer || (types.empty() ? static_cast<int64_t>(i) >= first : types[i] == "sliding_attention");
    if (slides && used) windows[i] = window;
    else if (slides && !types.empty()) cfg.reject("layer_types", "names layers with a sliding window, which use_sliding_window switches off");
  }
  return windows;
}

}  // namespace

std::string take_activation(Config& cfg, const char* key, const char* fallback) { return second_of(kActivations, cfg.take_choice(key, fallback, firsts(kActivations))); }
std::string activation_key(const std::string& activation) { return first_of(kActivations, activation); }
std::string dtype_key(const std::string& dtype) { return first_of(kTypes, dtype); }

void take_common(Config& cfg, ModelSpec& spec, bool tied) {
  spec.dtype = second_of(kTypes, cfg.take_choice("dtype", cfg.take_choice("torch_dtype", "float32", firsts(kTypes)), firsts(kTypes)));
  spec.tied = cfg.take<bool>("tie_word_embeddings", tied);
  spec.init_std = cfg.take_in<double>("initializer_range", 0.02, 0, 10);
  spec.init_scaled_residual = false;
  for (const char* key : {"architectures", "transformers_version", "_name_or_path", "use_cache", "output_attentions", "output_hidden_states", "return_dict",
                          "is_encoder_decoder", "is_decoder", "id2label", "label2id", "problem_type", "torchscript", "chunk_size_feed_forward"})
    cfg.ignore(key, "says nothing about what is computed");
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) cfg.ignore(key, "read for generation");
  cfg.ignore("attention_dropout", "training of the original");
  cfg.ignore("pretraining_tp", "how the original was split over devices");
}

ModelSpec read_skeleton(Config& cfg, const Dialect& dialect) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 32000, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 4096, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("rms_norm_eps", dialect.norm_eps, 0, 1);
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", dialect.max_positions, 1, 1 << 24);
  take_common(cfg, spec, false);

  const auto heads = cfg.take_in<int64_t>("num_attention_heads", 32, 1, 65536);
  const auto kv_heads = cfg.take_in<int64_t>("num_key_value_heads", dialect.kv_heads > 0 && !cfg.is_null("num_key_value_heads") ? dialect.kv_heads : heads, 1, 65536);
  auto head_dim = cfg.take_in<int64_t>("head_dim", cfg.is_null("head_dim") ? 0 : dialect.head_dim, 0, 65536);
  if (head_dim == 0) {
    if (spec.width < heads) cfg.reject("num_attention_heads", "must be at most hidden_size (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
    head_dim = spec.width / heads;
  }
  Component attention{"attention", {{"heads", heads}, {"kv_heads", kv_heads}, {"head_dim", head_dim}}};
  take_rope(cfg, spec, dialect, head_dim, attention);
  if (dialect.qk_norm != QkNorm::none) attention.options["qk_norm"] = dialect.qk_norm == QkNorm::head ? "head" : "all";
  if (dialect.bias == Dialect::Bias::qkv) {
    attention.options["bias"] = true;
    attention.options["output_bias"] = false;
  } else if (dialect.bias == Dialect::Bias::key && cfg.take<bool>("attention_bias", false)) {
    attention.options["bias"] = true;
  }
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("num_hidden_layers", 32, 1, 4096)), LayerSpec{attention, Component{}});
  spec.objective.kind = cfg.take_choice("gamut_attention", "causal", {"causal", "prefix"});
  const std::vector<int64_t> windows = take_windows(cfg, dialect, spec.layers.size());
  for (size_t i = 0; i < windows.size(); ++i)
    if (windows[i] > 0) spec.layers[i].mixer.options["window"] = windows[i];
  return spec;
}

AttentionOptions attention_options(const ModelSpec& spec, size_t layer) {
  Config cfg(spec.layers[layer].mixer.options, {.source = "model"});
  return AttentionOptions::take(cfg, spec);
}

MlaOptions mla_options(const ModelSpec& spec, size_t layer) {
  Config cfg(spec.layers[layer].mixer.options, {.source = "model"});
  return MlaOptions::take(cfg, spec);
}

bool has_shares(const ModelSpec& spec) {
  for (const auto* layers : {&spec.layers, &spec.encoder})
    for (const LayerSpec& layer : *layers)
      if (!(layer.mixer_shares == Shares{}) || !(layer.channel_shares == Shares{})) return true;
  return false;
}

std::string beyond_decoder(const ModelSpec& spec) {
  if (!spec.encoder.empty()) return "an encoder";
  if (spec.token_types > 0) return "token types";
  if (spec.embedding_width > 0 && spec.placement != NormPlacement::none) return "an embedding of another width";
  if (spec.residual != Residual::sequential || spec.residual_scale != 1) return "another residual stream";
  if (!spec.norm_gain || !spec.norm_bias) return "norms without weights";
  if (spec.final_norm_eps > 0) return "a final norm with an epsilon of its own";
  if (has_shares(spec)) return "shares of blocks in the residual stream";
  for (const LayerSpec& layer : spec.layers)
    for (const char* option : {"alibi", "softcap", "sinks", "clip", "relative_bias", "chunk", "norm_rotated", "norm_gain", "temperature"})
      if (layer.mixer.kind == "attention" && layer.mixer.options.contains(option)) return std::string("attention with ") + option;
  if (spec.position_offset > 0) return "positions that do not start at 0";
  if (spec.heads != ModelSpec{}.heads) return "other heads than a plain one for the vocabulary";
  if (spec.objective != ModelSpec{}.objective) return "the objective " + spec.objective.kind;
  return "";
}

Family::Written write_skeleton(const ModelSpec& spec, const Dialect& dialect) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "rms") return cannot("norm = \"" + spec.norm + "\"");
  if (spec.placement != NormPlacement::pre) return cannot("post-norm layers");
  if (spec.embedding_scale != 1) return cannot("a scaled embedding");
  if (spec.positions != "none") return cannot("positions added to the embedding");
  ModelSpec causal = spec;
  if (spec.objective.kind == "prefix") causal.objective = ModelSpec{}.objective;  // a key says it
  if (const std::string more = beyond_decoder(causal); !more.empty()) return cannot(more);
  std::vector<int64_t> windows;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.mixer.kind != "attention") return cannot("the mixer " + layer.mixer.kind);
    Component alike = layer.mixer, first = spec.layers[0].mixer;
    windows.push_back(alike.options.value("window", int64_t{0}));
    alike.options.erase("window");
    first.options.erase("window");
    if (!(alike == first)) return cannot("layers whose mixers differ");
  }
  const AttentionOptions a = attention_options(spec, 0);
  const RopeScaling& scaling = a.rotation.scaling;
  if (spec.embedding_norm) return cannot("a norm after the embedding");
  if (a.gate) return cannot("gated attention");
  if (!a.rope || a.rotation.rotary != a.head_dim || a.interleaved) return cannot("positions other than rotation of whole heads in halves");
  if (scaling.kind == "dynamic" && scaling.original_positions != spec.max_positions) return cannot("dynamic rotary scaling from another length than max_positions");
  if (a.qk_norm != dialect.qk_norm) return cannot(dialect.qk_norm == QkNorm::none ? "normalised queries and keys" : "other normalisation of queries and keys");
  if (a.qk_norm != QkNorm::none && a.norm_eps != spec.norm_eps) return cannot("an epsilon of its own for queries and keys");
  if (a.scale != 1.0 / std::sqrt(static_cast<double>(a.head_dim))) return cannot("a scale of its own for attention");
  if (dialect.bias == Dialect::Bias::qkv ? !a.bias || a.output_bias : a.bias != a.output_bias || (a.bias && dialect.bias == Dialect::Bias::none)) return cannot("other biases in attention");
  if (dialect.whole_heads && spec.width % a.heads != 0) return cannot("a width that is no multiple of the heads");
  int64_t window = 0;
  for (const int64_t w : windows) window = std::max(window, w);
  const bool same = std::all_of(windows.begin(), windows.end(), [&](int64_t w) { return w == window; });
  if (window > 0 && dialect.windows == Dialect::Windows::none) return cannot("a sliding window");
  if (!std::all_of(windows.begin(), windows.end(), [&](int64_t w) { return w == window || w == 0; })) return cannot("windows of several lengths");
  if (!same && dialect.windows != Dialect::Windows::by_layer) return cannot("a sliding window in some layers");

  Json config = {{"architectures", {dialect.architecture}}, {"model_type", dialect.model_type}, {"vocab_size", spec.vocab}, {"hidden_size", spec.width},
                 {"num_hidden_layers", spec.layers.size()}, {"num_attention_heads", a.heads}, {"num_key_value_heads", a.kv_heads}, {"head_dim", a.head_dim},
                 {"max_position_embeddings", spec.max_positions}, {"rms_norm_eps", spec.norm_eps}, {"rope_theta", a.rotation.theta}, {"rope_scaling", scaling_keys(scaling)},
                 {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied}, {"use_cache", true}, {"torch_dtype", dtype_key(spec.dtype)}};
  if (spec.objective.kind == "prefix") config["gamut_attention"] = "prefix";
  if (dialect.bias == Dialect::Bias::key) config["attention_bias"] = a.bias;
  if (dialect.windows != Dialect::Windows::none) config["sliding_window"] = window > 0 ? Json(window) : Json();
  if (dialect.windows == Dialect::Windows::switched || dialect.windows == Dialect::Windows::by_layer) config["use_sliding_window"] = window > 0;
  if (dialect.windows == Dialect::Windows::by_layer) {
    config["layer_types"] = Json::array();
    for (const int64_t w : windows) config["layer_types"].push_back(w > 0 ? "sliding_attention" : "full_attention");
  }
  return {config, ""};
}

Family::Written write_diffusion(const ModelSpec& spec, bool shift, Family::Written (*write)(const ModelSpec&)) {
  Component objective = spec.objective;
  const auto specials = objective.options.value("specials", std::vector<int32_t>());
  const bool shifted = objective.options.value("shift", false);
  for (const char* key : {"specials", "shift"}) objective.options.erase(key);
  if (!(objective == Component{"masked_diffusion"}) || specials.size() != 1 || shifted != shift)
    return {{}, std::string("an objective other than masked diffusion ") + (shift ? "with" : "without") + " shift"};
  ModelSpec causal = spec;
  causal.objective = ModelSpec{}.objective;
  Family::Written written = write(causal);
  if (written.obstacle.empty()) written.config["mask_token_id"] = specials[0];
  return written;
}

NameMap::NameMap(const Model& model) {
  for (const Parameter& p : model.parameters().all()) shapes_.emplace(p.name, p.value.shape());
}

void NameMap::whole(const std::string& name, const std::string& parameter, double factor, double offset) {
  const Shape& s = shapes_.at(parameter);
  tensors_.push_back({name, {s.dims().begin(), s.dims().end()}, {{parameter, 0, s.elements()}}, factor, false, offset});
}

void NameMap::reshaped(const std::string& name, const std::string& parameter, std::vector<int64_t> shape) {
  tensors_.push_back({name, std::move(shape), {{parameter, 0, shapes_.at(parameter).elements()}}});
}

void NameMap::stacked(const std::string& name, const std::vector<std::string>& parameters, std::vector<int64_t> shape) {
  StoredTensor tensor{name, {}, {}};
  int64_t rows = 0;
  for (const std::string& parameter : parameters) {
    rows += shapes_.at(parameter)[0];
    tensor.parts.push_back({parameter, 0, shapes_.at(parameter).elements()});
  }
  const Shape& first = shapes_.at(parameters[0]);
  if (shape.empty()) shape = first.rank() == 1 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, first[1]};
  tensor.shape = std::move(shape);
  tensors_.push_back(std::move(tensor));
}

void NameMap::skeleton(const ModelSpec& spec) {
  whole("model.embed_tokens.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string theirs = "model.layers." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    whole(theirs + "input_layernorm.weight", ours + "mixer_norm");
    whole(theirs + "post_attention_layernorm.weight", ours + "channel_norm");
    if (spec.layers[i].mixer.kind == "attention") attention(i);
  }
  whole("model.norm.weight", "final_norm");
  if (!spec.tied) whole("lm_head.weight", "head");
}

void NameMap::attention(size_t layer) {
  const std::string theirs = "model.layers." + std::to_string(layer) + ".self_attn.", ours = "layers." + std::to_string(layer) + ".mixer.";
  for (const auto& [their, our] : {std::pair("q", "query"), std::pair("k", "key"), std::pair("v", "value"), std::pair("o", "output")}) {
    optional(theirs + their + "_norm.weight", ours + our + "_norm");
    whole(theirs + their + "_proj.weight", ours + our);
    optional(theirs + their + "_proj.bias", ours + our + "_bias");
  }
}

bool skeleton_ignores(const ModelSpec& spec, const std::string& tensor) {
  return tensor.ends_with("rotary_emb.inv_freq") || (spec.tied && tensor == "lm_head.weight");
}

}  // namespace gamut
