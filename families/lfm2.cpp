// LFM2: gated short convolutions with attention in some layers; feed-forward layers, or mixtures of experts after the first few. [Liquid AI 2025]
#include <algorithm>

#include "families/deepseek_layers.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

const LayerNames kTypes{.attention = {"full_attention"}, .other = {"conv"}};
constexpr SizeKeys kSizes{.hidden = nullptr, .eps = "norm_eps"};

Component convolution(const GatedConvOptions& o) { return {"gated_conv", {{"taps", o.taps}, {"bias", o.bias}}}; }

// What both have in common, after sizes().
void shared_keys(Keys& k, PlainDecoder& d) {
  GatedConvOptions conv{3, false};
  if (!k.reading() && d.other) {
    if (d.other->kind != "gated_conv") throw Error({.who = "model", .what = "mixers other than gated convolutions beside attention"});
    Config cfg(d.other->options, {.source = "model"});
    conv = GatedConvOptions::take(cfg, d.spec);
  }
  k.integer("conv_L_cache", conv.taps, 3, 1, 16);
  k.flag("conv_bias", conv.bias, false);
  d.other = convolution(conv);
  std::vector<int64_t> attention;  // layers that have it; without the key all
  const bool named = k.reading() && k.config().has("full_attn_idxs") && !k.config().is_null("full_attn_idxs");
  if (named) attention = k.config().take<std::vector<int64_t>>("full_attn_idxs");
  k.ignore({"full_attn_idxs"}, "layer_types say it");
  other_layers(
      k, d, [&](size_t layer) { return named && std::find(attention.begin(), attention.end(), static_cast<int64_t>(layer)) == attention.end(); }, kTypes);
  rotation(k, d, 1e6);
  common(k, d, true);
  if (!k.reading()) return;
  if (k.config().has("tie_embedding")) d.spec.tied = k.config().take<bool>("tie_embedding", true);
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::head;
  k.ignore({"block_dim", "block_norm_eps", "block_mlp_init_scale", "block_out_init_scale", "block_use_swiglu", "block_use_xavier_init", "conv_dim",
            "conv_dim_out", "conv_use_xavier_init", "num_heads", "use_pos_enc"},
           "not used by the reference");
}

// Units of the feed-forward layers: two thirds of what the key says, times a factor, rounded up.
void hidden_keys(Keys& k, PlainDecoder& d) {
  k.integer(k.either("intermediate_size", "block_ff_dim"), d.hidden, 12288);
  bool adjusts = false;
  k.flag("block_auto_adjust_ff_dim", adjusts, true);
  if (!k.reading()) return;
  const Json factor = k.config().take_json("block_ffn_dim_multiplier");
  const auto multiple = k.config().take_in<int64_t>("block_multiple_of", 256, 1, 1 << 24);
  if (!factor.is_null() && !factor.is_number()) k.config().reject("block_ffn_dim_multiplier", "must be a number, not " + factor.dump());
  if (k.config().has("block_ff_dim")) k.ignore({"intermediate_size"}, "block_ff_dim says it");
  if (!adjusts) return;
  d.hidden = 2 * d.hidden / 3;
  if (k.config().has("block_ffn_dim_multiplier") && factor.is_null()) return;
  d.hidden = static_cast<int64_t>((factor.is_number() ? factor.get<double>() : 1) * static_cast<double>(d.hidden));
  d.hidden = (d.hidden + multiple - 1) / multiple * multiple;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 65536, .width = 2560, .kv_heads = 8, .positions = 128000, .eps = 1e-5}, kSizes);
  hidden_keys(k, d);
  shared_keys(k, d);
}

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .activation_key = nullptr,
                                 .experts = 32,
                                 .top_k = 4,
                                 .hidden = 1792,
                                 .balance_key = nullptr,
                                 .normalise_key = "norm_topk_prob",
                                 .scale_key = "routed_scaling_factor",
                                 .score = "sigmoid",
                                 .selection_bias = true,
                                 .module = "feed_forward",
                                 .router_selection = "expert_bias",
                                 .gate = "w1",
                                 .up = "w3",
                                 .down = "w2"};
void sparse(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 65536, .width = 2048, .kv_heads = 8, .positions = 128000, .eps = 1e-5}, kSizes);
  sparse_keys(k, d, kExperts, {.dense_hidden = 7168, .shared = nullptr, .groups = nullptr, .first = "num_dense_layers", .first_sparse = 2});
  k.flag("use_expert_bias", d.experts.selection_bias, true);
  if (k.reading()) d.experts.epsilon = 1e-6;
  shared_keys(k, d);
}

void name_other(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec&, size_t) {
  const std::string theirs = layer + "conv.";
  map.stacked(theirs + "in_proj.weight", {ours + "write", ours + "read", ours + "value"});
  if (map.has(ours + "write_bias")) map.stacked(theirs + "in_proj.bias", {ours + "write_bias", ours + "read_bias", ours + "value_bias"});
  const Shape& conv = map.shape(ours + "conv");
  map.reshaped(theirs + "conv.weight", ours + "conv", {conv[0], 1, conv[1]});
  map.optional(theirs + "conv.bias", ours + "conv_bias");
  map.whole(theirs + "out_proj.weight", ours + "output");
  map.optional(theirs + "out_proj.bias", ours + "output_bias");
}

constexpr DecoderNames kNames{.final_norm = "model.embedding_norm",
                              .mixer_norm = "operator_norm",
                              .channel_norm = "ffn_norm",
                              .output = "self_attn.out_proj",
                              .query_norm = "self_attn.q_layernorm",
                              .key_norm = "self_attn.k_layernorm",
                              .gate = "feed_forward.w1",
                              .up = "feed_forward.w3",
                              .down = "feed_forward.w2"};
constexpr DecoderFamily kFamily{"lfm2", "Lfm2ForCausalLM", keys, kNames, nullptr, nullptr, name_other},
    kSparse{"lfm2_moe", "Lfm2MoeForCausalLM", sparse, kNames, nullptr, &kExperts, name_other};

}  // namespace

Family lfm2() { return decoder_family<kFamily>("Gated short convolutions with attention in some layers, for small machines. [Liquid AI, LFM2, 2025]"); }
Family lfm2_moe() { return decoder_family<kSparse>("LFM2 with mixtures of experts after the first layers. [Liquid AI, LFM2-8B-A1B, 2025]"); }

}  // namespace gamut::family
