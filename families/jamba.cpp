// Jamba: Mamba layers with attention in every eighth, mixtures of experts in every second. No positions. [Lieber et al. 2024]
#include "families/dense.h"
#include "families/experts.h"
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

const MambaKeys kMamba{"mamba_d_conv", "mamba_d_state", "mamba_dt_rank", "mamba_expand", "mamba_conv_bias", "mamba_proj_bias", "gain", nullptr};
constexpr ExpertDialect kExperts{.experts = 16, .top_k = 2, .normalise = false, .module = "feed_forward", .router = "router"};

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 65536, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 4096, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("rms_norm_eps", 1e-6, 0, 1);
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", 262144, 1, 1 << 24);
  take_common(cfg, spec, false);
  const auto heads = cfg.take_in<int64_t>("num_attention_heads", 32, 1, 65536);
  if (spec.width % heads != 0) cfg.reject("num_attention_heads", "must divide hidden_size (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  const Component attention{"attention", {{"heads", heads}, {"kv_heads", cfg.take_in<int64_t>("num_key_value_heads", cfg.is_null("num_key_value_heads") ? heads : 8, 1, 65536)}, {"rope", false}}};
  const Component mamba = take_mamba(cfg, spec, kMamba);
  const Component experts = take_experts(cfg, kExperts);
  const Component dense = take_gated_ffn(cfg);
  const auto layers = cfg.take_in<int64_t>("num_hidden_layers", 32, 1, 4096);
  const auto attention_period = cfg.take_in<int64_t>("attn_layer_period", 8, 1, 4096), attention_offset = cfg.take_in<int64_t>("attn_layer_offset", 4, 0, 4096);
  const auto expert_period = cfg.take_in<int64_t>("expert_layer_period", 2, 1, 4096), expert_offset = cfg.take_in<int64_t>("expert_layer_offset", 1, 0, 4096);
  const bool sparse = experts.options["experts"].get<int64_t>() > 1;
  for (int64_t i = 0; i < layers; ++i)
    spec.layers.push_back({i % attention_period == attention_offset ? attention : mamba, sparse && i % expert_period == expert_offset ? experts : dense});
  for (const char* key : {"use_associative_scan", "use_mambapy", "use_mamba_kernels", "num_logits_to_keep", "calc_logits_for_entire_prompt"}) cfg.ignore(key, "how, not what, is computed");
  cfg.ignore("sliding_window", "not used by the reference");
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "rms" || spec.placement != NormPlacement::pre || spec.embedding_norm) return cannot("norms other than RMSNorm before each block");
  if (spec.embedding_scale != 1 || spec.positions != "none") return cannot("positions or scales of the embedding");
  if (const std::string more = beyond_decoder(spec); !more.empty()) return cannot(more);
  // Where the layers of each kind are: first and distance.
  struct Places {
    const Component* kind = nullptr;
    std::vector<int64_t> layers;
  } attention, mamba, experts, dense;
  for (size_t i = 0; i < spec.layers.size(); ++i)
    for (const auto& [component, places] : {std::pair(&spec.layers[i].mixer, spec.layers[i].mixer.kind == "attention" ? &attention : &mamba),
                                            std::pair(&spec.layers[i].channel, spec.layers[i].channel.kind == "moe" ? &experts : &dense)}) {
      if (!places->kind) places->kind = component;
      if (!(*places->kind == *component)) return cannot("layers of one kind that differ");
      places->layers.push_back(static_cast<int64_t>(i));
    }
  if (!attention.kind || !mamba.kind || mamba.kind->kind != "mamba" || !experts.kind || !dense.kind || dense.kind->kind != "ffn") return cannot("something else than Mamba, attention, experts and dense layers together");
  Json config = {{"model_type", "jamba"}, {"architectures", {"JambaForCausalLM"}}, {"vocab_size", spec.vocab}, {"hidden_size", spec.width}, {"rms_norm_eps", spec.norm_eps},
                 {"num_hidden_layers", spec.layers.size()}, {"max_position_embeddings", spec.max_positions}, {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied},
                 {"use_mamba_kernels", false}, {"use_cache", true}, {"torch_dtype", dtype_key(spec.dtype)}};
  const auto n = static_cast<int64_t>(spec.layers.size());
  for (const auto& [key, places] : {std::pair("attn", &attention), std::pair("expert", &experts)}) {
    const int64_t offset = places->layers[0], period = places->layers.size() > 1 ? places->layers[1] - offset : std::max(n, offset + 1);
    std::vector<int64_t> expected;
    for (int64_t i = 0; i < n; ++i)
      if (i % period == offset) expected.push_back(i);
    if (expected != places->layers) return cannot("layers of one kind that are not evenly spaced");
    config[std::string(key) + "_layer_period"] = period;
    config[std::string(key) + "_layer_offset"] = offset;
  }
  const AttentionOptions a = attention_options(spec, static_cast<size_t>(attention.layers[0]));
  if (a.rope || a.window > 0 || a.qk_norm != QkNorm::none || a.gate || a.bias || a.output_bias || a.head_dim * a.heads != spec.width) return cannot("attention other than plain grouped-query attention without positions");
  config["num_attention_heads"] = a.heads;
  config["num_key_value_heads"] = a.kv_heads;
  if (const std::string why = write_mamba(spec, *mamba.kind, kMamba, config); !why.empty()) return cannot(why);
  if (const std::string why = write_gated_ffn(*dense.kind, false, config); !why.empty()) return cannot(why);
  const Json hidden = config["intermediate_size"];
  if (const std::string why = write_experts(*experts.kind, kExperts, config); !why.empty()) return cannot(why);
  if (config["hidden_act"] != activation_key(mamba.kind->options.value("activation", "silu"))) return cannot("different activations of experts and Mamba");
  if (config["intermediate_size"] != hidden) return cannot("experts and dense layers of different sizes");
  return {config, ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  map.whole("model.embed_tokens.weight", "embedding");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string theirs = "model.layers." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    map.whole(theirs + "input_layernorm.weight", ours + "mixer_norm");
    map.whole(theirs + "pre_ff_layernorm.weight", ours + "channel_norm");
    if (spec.layers[i].mixer.kind == "attention") map.attention(i);
    else name_mamba(map, theirs + "mamba.", ours + "mixer.");
    if (spec.layers[i].channel.kind == "moe") {
      name_experts(map, model.spec().layers[i].channel, "layers." + std::to_string(i) + ".channel.", theirs, kExperts, present);
    } else {
      for (const char* name : {"gate", "up", "down"}) map.whole(theirs + "feed_forward." + name + "_proj.weight", ours + "channel." + name);
    }
  }
  map.whole("model.final_layernorm.weight", "final_norm");
  if (!spec.tied) map.whole("lm_head.weight", "head");
  return map.take();
}

}  // namespace

Family jamba() {
  return {"jamba", "Mamba layers with attention in every eighth and mixtures of experts in every second; no positions. [Lieber et al., Jamba, 2024]", read, write, tensors, skeleton_ignores};
}

}  // namespace gamut::family
