// Kimi Linear: delta attention with a decay per channel, latent attention without rotation in every fourth layer, DeepSeek V3's experts. [Kimi Team 2025]
#include <algorithm>

#include "families/deepseek_layers.h"
#include "families/kda_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.top_k_key = "num_experts_per_token",
                                 .hidden_key = "moe_intermediate_size",
                                 .experts = 256,
                                 .top_k = 8,
                                 .hidden = 1024,
                                 .balance_key = nullptr,
                                 .normalise_key = "moe_renormalize",
                                 .scale_key = "routed_scaling_factor",
                                 .scale = 2.446,
                                 .score = "sigmoid",
                                 .selection_bias = true,
                                 .module = "block_sparse_moe",
                                 .gate = "w1",
                                 .up = "w3",
                                 .down = "w2",
                                 .shared = "shared_experts"};

// Its convolutions have the experts' activation.
Component delta(const PlainDecoder& d, int64_t heads, int64_t head_dim, int64_t conv) {
  return {"kda", {{"heads", heads}, {"key_dim", head_dim}, {"conv", conv}, {"activation", d.experts.activation}}};
}

// linear_attn_config, which counts layers from 1, or keys of their own.
void delta_keys(Keys& k, PlainDecoder& d) {
  int64_t heads = 32, head_dim = 128, conv = 4;
  if (!k.reading()) {
    if (!d.other || d.other->kind != "kda") throw Error({.who = "model", .what = "no layer of Kimi delta attention"});
    const KdaOptions o = kda_options(*d.other, d.spec);
    if (!(o == kda_options(delta(d, o.heads, o.key_dim, o.conv), d.spec)))
      throw Error({.who = "model", .what = "Kimi delta attention of another form than Kimi Linear's"});
    heads = o.heads;
    head_dim = o.key_dim;
    conv = o.conv;
  }
  k.integer("linear_num_heads", heads, heads, 1, 65536);
  k.integer("linear_head_dim", head_dim, head_dim, 1, 1024);
  k.integer("linear_conv_kernel_dim", conv, conv, 1, 16);
  std::vector<int64_t> full;
  bool listed = false;
  if (k.reading() && k.config().has("linear_attn_config") && !k.config().is_null("linear_attn_config")) {
    Config table = k.config().sub("linear_attn_config");
    heads = table.take_in<int64_t>("num_heads", heads, 1, 65536);
    head_dim = table.take_in<int64_t>("head_dim", head_dim, 1, 1024);
    conv = table.take_in<int64_t>("short_conv_kernel_size", conv, 1, 16);
    listed = table.has("full_attn_layers") && table.has("kda_layers");
    full = table.take<std::vector<int64_t>>("full_attn_layers", {});
    table.ignore("kda_layers", "all that are not full_attn_layers");
    table.finish();
  }
  if (k.reading()) k.ignore({"linear_attn_config"}, "null");
  d.other = delta(d, heads, head_dim, conv);
  other_layers(k, d,
               [&](size_t layer) {
                 const auto i = static_cast<int64_t>(layer);
                 return listed ? std::find(full.begin(), full.end(), i + 1) == full.end() : i == 0 || i % 4 != 0;
               },
               {.attention = {"full_attention"}, .other = {"linear_attention", "kda_attention"}});
}

void keys(Keys& k, PlainDecoder& d) {
  SizeKeys names = kLatentSizes;
  names.positions = k.either("model_max_length", "max_position_embeddings");
  sizes(k, d, {.vocab = 163840, .width = 2304, .layers = 27, .head_dim = 64, .positions = 1048576, .eps = 1e-5}, names);
  sparse_keys(k, d, kExperts,
              {.dense_hidden = 9216, .shared = "num_shared_experts", .groups = "num_expert_group", .first_sparse = 1, .types = "mlp_layer_types"});
  k.only("moe_router_activation_func", "sigmoid", "another score of experts");
  k.only("moe_layer_freq", 1, "dense layers between sparse ones");
  k.only("mla_use_nope", true, "latent attention that rotates");
  latent_keys(k, d, {.query_rank = 0});
  if (k.reading()) {
    MlaOptions& a = *d.latent;
    a.rope = a.interleaved = false;
    a.mscale = 0;
    a.rotation = {.rotary = a.rotary};
    d.attention.assign(d.attention.size(), latent_stand_in(a));
  }
  delta_keys(k, d);
  common(k, d, false);
  k.ignore({"rope_theta", "rope_scaling", "rope_parameters"}, "nothing rotates");
  k.ignore({"use_grouped_topk"}, "as the groups say");
  k.ignore({"num_nextn_predict_layers"}, "a model beside this one");
}

void name_other(NameMap& map, const std::string& theirs, const std::string& ours, const ModelSpec&, size_t) {
  name_kda(map, theirs + "self_attn.", ours, {{1, 1, map.shape(ours + "decay_rate")[0], 1}, "f_a_proj", "f_b_proj", "g_a_proj", "g_b_proj"});
}

constexpr DecoderFamily kFamily{"kimi_linear", "KimiLinearForCausalLM",
                                keys,          {.gate = "block_sparse_moe.gate_proj", .up = "block_sparse_moe.up_proj", .down = "block_sparse_moe.down_proj"},
                                nullptr,       &kExperts,
                                name_other};

}  // namespace

Family kimi_linear() {
  return decoder_family<kFamily>(
      "Delta attention with a decay per channel in three layers of four, latent attention without positions in the fourth; DeepSeek V3's experts. [Kimi Team, "
      "Kimi Linear, 2025]");
}

}  // namespace gamut::family
