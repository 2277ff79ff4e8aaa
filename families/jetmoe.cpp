// JetMoE: mixtures of attention heads and of feed-forward experts in every layer. [Shen et al. 2024]
#include "families/decoder.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts",
                                 .activation_key = "activation_function",
                                 .hidden = 5632,
                                 .balance_key = nullptr,
                                 .output_bias = true,
                                 .router = "router.layer",
                                 .layout = ExpertDialect::Layout::fused,
                                 .fused_in = "input_linear.weight",
                                 .fused_out = "output_linear.weight"};

constexpr double kEps = 1e-6;  // of all norms but the last

// Everything but the layers' components, one way or the other.
void keys(Keys& k, ModelSpec& spec, int64_t& layers, MoaOptions& moa, Experts& experts) {
  k.integer("vocab_size", spec.vocab, 32000, 1, int64_t{1} << 31);
  k.integer("hidden_size", spec.width, 2048, 1, 1 << 20);
  k.integer("num_hidden_layers", layers, 12, 1, 4096);
  k.integer("num_key_value_heads", moa.heads, 16, 1, 65536);
  k.integer("kv_channels", moa.head_dim, 128, 2, 65536);
  k.integer("max_position_embeddings", spec.max_positions, 4096, 1, 1 << 24);
  k.number("rms_norm_eps", spec.final_norm_eps, kEps, 0, 1);  // of the last norm alone
  expert_keys(k, experts, kExperts);
  double coefficient = experts.pooled / static_cast<double>(experts.top_k);
  bool wanted = experts.pooled > 0;
  k.number("aux_loss_coef", coefficient, 0.01, 0, 100);
  k.flag("output_router_logits", wanted, false);
  if (k.reading()) {
    Config& cfg = k.config();
    if (moa.head_dim % 2 != 0) cfg.reject("kv_channels", "must be even, not " + std::to_string(moa.head_dim));
    moa.experts = experts.count;
    moa.top_k = experts.top_k;
    moa.bias = true;
    spec.norm_eps = kEps;
    if (spec.final_norm_eps == kEps) spec.final_norm_eps = 0;
    experts.pooled = moa.pooled = wanted ? coefficient * static_cast<double>(experts.top_k) : 0;
    const RopeOptions rope = take_rope_options(cfg, spec, {.model_type = "", .architecture = ""}, moa.head_dim);
    moa.theta = rope.theta;
    moa.scaling = rope.scaling;
    if (const auto heads = cfg.take_in<int64_t>("num_attention_heads", moa.heads * moa.top_k, 1, 1 << 24); heads != moa.heads * moa.top_k)
      cfg.reject("num_attention_heads",
                 "is " + std::to_string(heads) + "; it follows from num_key_value_heads and num_experts_per_tok: " + std::to_string(moa.heads * moa.top_k));
    const double initial = cfg.take_in<double>("initializer_range", 0.01, 0, 10);
    take_common(cfg, spec, true);
    spec.init_std = initial;
  } else {
    k.json().update({{"rope_theta", moa.theta},
                     {"rope_scaling", rope_scaling_keys(moa.scaling)},
                     {"initializer_range", spec.init_std},
                     {"tie_word_embeddings", spec.tied},
                     {"use_cache", true},
                     {"pad_token_id", Json()},
                     {"torch_dtype", dtype_key(spec.dtype)}});
  }
}

Component component_of(const MoaOptions& o) {
  Component moa{"moa", {{"experts", o.experts}, {"top_k", o.top_k}, {"heads", o.heads}, {"head_dim", o.head_dim}, {"bias", o.bias}, {"rope_theta", o.theta}}};
  if (o.pooled > 0) moa.options["pooled"] = o.pooled;
  if (o.scaling.kind != "none") moa.options["rope_scaling"] = o.scaling.to_json();
  return moa;
}

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  int64_t layers = 0;
  MoaOptions moa{};
  Experts experts;
  Keys k(cfg);
  keys(k, spec, layers, moa, experts);
  spec.layers.assign(static_cast<size_t>(layers), LayerSpec{component_of(moa), component_of(experts)});
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  ModelSpec written = spec;
  written.final_norm_eps = 0;
  if (const std::string more = beyond_decoder(written); !more.empty()) return cannot(more);
  written.final_norm_eps = spec.final_norm_eps > 0 ? spec.final_norm_eps : spec.norm_eps;
  const LayerSpec& first = spec.layers[0];
  if (first.mixer.kind != "moa") return cannot("the mixer " + first.mixer.kind);
  for (const LayerSpec& layer : spec.layers)
    if (!(layer == first)) return cannot("layers that differ");
  auto [experts, obstacle] = experts_of(first.channel);
  if (!experts) return cannot(obstacle);
  experts->scale = 1;  // in the last projection
  Config options(first.mixer.options, {.source = "model"});
  MoaOptions moa = MoaOptions::take(options, spec);
  Json config = {{"architectures", {"JetMoeForCausalLM"}}, {"model_type", "jetmoe"}};
  int64_t layers = static_cast<int64_t>(spec.layers.size());
  Keys writing(config);
  keys(writing, written, layers, moa, *experts);
  try {
    Config cfg(config, {.source = "config.json"});
    for (const char* key : {"model_type", "architectures"}) cfg.ignore(key, "known");
    ModelSpec again = read(cfg);
    cfg.finish();
    written.layers.assign(spec.layers.size(), LayerSpec{component_of(moa), component_of(*experts)});
    written.final_norm_eps = spec.final_norm_eps;
    again.init_scaled_residual = written.init_scaled_residual;
    if (!(again == written)) return cannot(difference(written.to_json(), again.to_json()));
  } catch (const Error& e) {
    return cannot(e.what());
  }
  return {config, ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  map.whole("model.embed_tokens.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string theirs = "model.layers." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".",
                      experts = theirs + "self_attention.experts.";
    map.whole(theirs + "input_layernorm.weight", ours + "mixer_norm");
    map.whole(theirs + "post_attention_layernorm.weight", ours + "channel_norm");
    map.stacked(theirs + "self_attention.kv_proj.weight", {ours + "mixer.key", ours + "mixer.value"});
    map.whole(experts + "router.layer.weight", ours + "mixer.router");
    map.whole(experts + "input_linear.weight", ours + "mixer.query");
    map.whole(experts + "output_linear.weight", ours + "mixer.output");
    map.whole(experts + "bias", ours + "mixer.output_bias");
    name_experts(map, spec.layers[i].channel, ours + "channel.", theirs, kExperts, present);
  }
  map.whole("model.norm.weight", "final_norm");
  if (!spec.tied) map.whole("lm_head.weight", "head");
  return map.take();
}

}  // namespace

Family jetmoe() {
  return {"jetmoe", "Mixtures of attention heads, each with keys and values in common, and of feed-forward experts in every layer. [Shen et al., JetMoE, 2024]",
          read,     write,
          tensors,  skeleton_ignores};
}

}  // namespace gamut::family
