// Nemotron-H and Nemotron 3: each layer is one block: Mamba-2, attention without rotation, a squared-ReLU layer without gates, or experts of such. [NVIDIA
// 2025]
#include <algorithm>

#include "families/deepseek_layers.h"
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect expert_dialect() {
  ExpertDialect x = deepseek_experts(8, 2, 7688);
  x.activation_key = nullptr;  // mlp_hidden_act is that of both kinds
  x.shared_hidden_key = "moe_shared_expert_intermediate_size";
  x.shared_hidden = 7688;
  x.gated = false;
  x.activation = "relu2";
  x.module = "mixer";
  return x;
}
constexpr ExpertDialect kExperts = expert_dialect();

constexpr Mamba2Keys kMamba{.heads = "mamba_num_heads",
                            .head_dim = "mamba_head_dim",
                            .groups = "n_groups",
                            .state = "ssm_state_size",
                            .conv = "conv_kernel",
                            .expand = nullptr,
                            .conv_bias = "use_conv_bias",
                            .bias = "use_bias",
                            .chunk = "chunk_size",
                            .groups_default = 8,
                            .state_default = 128,
                            .head_dim_default = 64,
                            .activation = "mamba_hidden_act",
                            .step_min = "time_step_min"};

// The kind of each layer: M (Mamba-2), * (attention), - (feed-forward), E (experts).
std::string read_pattern(Config& cfg) {
  const char* key = cfg.has("layers_block_type") || !cfg.has("layer_types") ? "layers_block_type" : "layer_types";
  if (!cfg.has(key) || cfg.is_null(key)) {
    cfg.ignore(key, "null says nothing");
    const auto pattern = cfg.take<std::string>("hybrid_override_pattern", "ME*-");
    if (pattern.empty() || pattern.find_first_not_of("M*-E") != std::string::npos)
      cfg.reject("hybrid_override_pattern", "is '" + pattern + "'; expected a row of M, *, - and E");
    return pattern;
  }
  cfg.ignore("hybrid_override_pattern", "the layers' types say it");
  std::string pattern;
  for (const std::string& type : cfg.take<std::vector<std::string>>(key)) {
    if (type == "linear_attention" || type == "mamba")
      pattern += 'M';
    else if (type == "full_attention" || type == "attention")
      pattern += '*';
    else if (type == "mlp")
      pattern += '-';
    else if (type == "moe")
      pattern += 'E';
    else
      cfg.reject(key, "holds '" + type + "'; expected linear_attention, full_attention, mlp or moe");
  }
  if (pattern.empty()) cfg.reject(key, "names no layer");
  return pattern;
}

std::string pattern_of(const PlainDecoder& d) {
  std::string pattern;
  for (size_t i = 0; i < d.attention.size(); ++i) {
    if (d.has_mixer(i) && d.has_channel(i)) throw Error({.who = "model", .what = "layers of two blocks"});
    pattern += d.has_attention(i) ? '*' : d.has_mixer(i) ? 'M' : d.has_experts(i) ? 'E' : '-';
  }
  return pattern;
}

void write_pattern(Json& out, const std::string& pattern) {
  Json types = Json::array();
  for (const char c : pattern) types.push_back(c == 'M' ? "linear_attention" : c == '*' ? "full_attention" : c == 'E' ? "moe" : "mlp");
  out["layers_block_type"] = types;
}

// One activation and one say on biases for feed-forward layers and shared experts.
void channel_keys(Keys& k, PlainDecoder& d, bool sparse) {
  int64_t hidden = d.hidden > 0 ? d.hidden : 4 * d.spec.width;
  std::string activation = d.hidden > 0 ? d.activation : sparse ? d.experts.activation : "relu2";
  bool bias = d.ffn_bias || d.experts.shared_bias;
  k.integer("intermediate_size", hidden, 21504);
  k.activation("mlp_hidden_act", activation, "relu2");
  k.flag("mlp_bias", bias, false);
  if (sparse || k.reading()) {
    expert_keys(k, d.experts, kExperts);
    group_keys(k, d.experts, {});
  }
  if (!k.reading()) return;
  d.hidden = hidden;
  d.gated = false;
  d.activation = d.experts.activation = activation;
  d.ffn_bias = d.experts.shared_bias = bias;
  if (sparse && d.experts.shared_hidden == 0) k.config().reject("moe_shared_expert_intermediate_size", "must be at least 1");
}

void keys(Keys& k, PlainDecoder& d) {
  const std::string pattern = k.reading() ? read_pattern(k.config()) : pattern_of(d);
  const auto layers = static_cast<int64_t>(pattern.size());
  sizes(k, d, {.vocab = 131072, .layers = layers, .kv_heads = 8, .head_dim = 128, .positions = 4096, .eps = 1e-5},
        {.head_dim = k.either("head_dim", "attention_head_dim"), .hidden = nullptr, .eps = "layer_norm_epsilon"});
  if (k.reading()) {
    if (static_cast<int64_t>(d.attention.size()) != layers)
      k.config().reject("num_hidden_layers", "is " + std::to_string(d.attention.size()) + ", but " + std::to_string(layers) + " layers are named");
    for (const char c : pattern) {
      d.others.push_back(c == 'M');
      d.sparse.push_back(c == 'E');
      d.blocks.push_back(c == 'M' || c == '*' ? Blocks::mixer : Blocks::channel);
    }
  } else {
    write_pattern(k.json(), pattern);
  }
  channel_keys(k, d, pattern.find('E') != std::string::npos);
  if (k.reading() || pattern.find('M') != std::string::npos) mamba2_keys(k, d.spec, d.other, kMamba);
  common(k, d, false);
  if (d.spec.tied) {
    if (k.reading()) k.config().reject("tie_word_embeddings", "is true, but this family has a head of its own", "false is supported");
    throw Error({.who = "model", .what = "a head that is the embedding"});
  }
  k.only("attention_bias", false, "biases of attention");
  k.only("mamba_proj_bias", false, "biases under another key than use_bias");
  k.only("sliding_window", Json(), "a window of attention");
  if (k.reading()) {
    k.only("moe_latent_size", Json(), "experts in a space of their own");
    k.only("residual_in_fp32", false, "residuals in another type");
  }
  k.ignore({"expand"}, "heads times their size is the inner width");
  k.ignore({"time_step_limit"}, "time_step_min is the one limit");
  k.ignore({"norm_eps", "rms_norm_eps"}, "layer_norm_epsilon says it");
  k.ignore({"n_shared_experts"}, "one of moe_shared_expert_intermediate_size");
  k.ignore({"time_step_max", "time_step_floor", "time_step_rank", "rescale_prenorm_residual"}, "initial values");
  k.ignore({"num_nextn_predict_layers", "mtp_layers_block_type", "mtp_hybrid_override_pattern"}, "multi-token prediction is a model beside this one");
  k.ignore({"num_logits_to_keep", "use_mamba_kernels", "mamba_ssm_cache_dtype", "moe_shared_expert_overlap", "output_router_logits"},
           "how, not what, is computed");
}

void name_other(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec&, size_t) { name_mamba2(map, theirs + "mixer.", ours); }

constexpr DecoderFamily kFamily{.model_type = "nemotron_h",
                                .architecture = "NemotronHForCausalLM",
                                .keys = keys,
                                .names = {.embedding = "backbone.embeddings",
                                          .layer = "backbone.layers.",
                                          .final_norm = "backbone.norm_f",
                                          .mixer_norm = "norm",
                                          .channel_norm = "norm",
                                          .query = "mixer.q_proj",
                                          .key = "mixer.k_proj",
                                          .value = "mixer.v_proj",
                                          .output = "mixer.o_proj",
                                          .up = "mixer.up_proj",
                                          .down = "mixer.down_proj",
                                          .beside = "mtp."},
                                .experts = &kExperts,
                                .other = name_other};

}  // namespace

Family nemotron_h() {
  return decoder_family<kFamily>("Layers of one block each: Mamba-2, attention without rotation, squared ReLU or experts of it. [NVIDIA, Nemotron-H, 2025]");
}

}  // namespace gamut::family
