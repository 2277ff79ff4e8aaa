// HunYuan: queries and keys normalised after rotation, whose base is stretched; dense, or experts beside a shared one. [Tencent 2025]
#include <cmath>

#include "families/decoder.h"

namespace gamut::family {
namespace {

// With `alpha`, "dynamic" scaling stretches the base once and for all: θ·alpha^(K/(K−2)). It is written as that base.
void stretched_rotation(Keys& k, PlainDecoder& d) {
  if (!k.reading()) return rotation(k, d);
  Config& cfg = k.config();
  Json keys = {{"rope_theta", cfg.take_in<double>("rope_theta", 10000, 1e-9, 1e30)}};
  if (cfg.has("original_max_position_embeddings")) keys["original_max_position_embeddings"] = cfg.take_json("original_max_position_embeddings");
  double alpha = 1;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    Json part = cfg.take_json(key);
    if (part.is_object() && part.contains("alpha")) {
      const Json given = part["alpha"], kind = part.contains("rope_type") ? part["rope_type"] : part.value("type", Json());
      if (!given.is_null() && (!given.is_number() || given.get<double>() <= 0)) cfg.reject(key, "has an alpha of " + given.dump());
      part.erase("alpha");
      if (kind == Json("dynamic") && given.is_number()) {
        alpha = given.get<double>();
        part = part.contains("rope_theta") ? Json{{"rope_theta", part["rope_theta"]}} : Json();
      }
    }
    keys[key] = part;
  }
  Config own(keys, cfg.origin(), cfg.prefix());
  Keys inner(own);
  rotation(inner, d);
  own.finish();
  const auto head = static_cast<double>(d.attention[0].head_dim);
  if (alpha != 1)
    for (AttentionOptions& a : d.attention) a.rotation.theta *= std::pow(alpha, head / (head - 2));
}

// A number, or a list that says it for every layer.
int64_t alike(Config& cfg, const char* key, int64_t fallback) {
  const Json given = cfg.take_json(key);
  const Json first = given.is_array() && !given.empty() ? given[0] : given;
  if (given.is_array())
    for (const Json& one : given)
      if (one != first) cfg.reject(key, "differs between layers, which is not supported");
  if (!first.is_null() && !first.is_number_integer()) cfg.reject(key, "is " + given.dump() + "; expected a whole number, or one for each layer");
  return first.is_null() ? fallback : first.get<int64_t>();
}

void shared_keys(Keys& k, PlainDecoder& d, const char* hidden) {
  sizes(k, d, {.vocab = 290943, .kv_heads = 0, .eps = 1e-5}, {.hidden = hidden});
  biases(k, d, "attention_bias", false);
  stretched_rotation(k, d);
  common(k, d, false);
  if (!k.reading()) return;
  k.only("use_qk_norm", true, "queries and keys without norms");
  k.only("use_cla", false, "layers that share keys and values");
  k.only("use_mla", false, "latent attention");
  k.only("use_rotary_pos_emb", true, "no rotation");
  k.only("norm_type", "rms", "another norm");
  k.ignore({"eod_token_id", "sep_token_id", "cla_share_factor", "attention_head_dim", "auto_map", "dense_list", "pool_type", "org_vocab_size", "mask_init_id",
            "add_classification_head", "class_num", "im_end_id", "im_newline_id", "im_start_id", "text_end_id", "text_start_id", "num_media_embeds",
            "skip_cls_token", "position_embedding_xdrope"},
           "says nothing about what is computed");
  for (AttentionOptions& a : d.attention) {
    a.qk_norm = QkNorm::head;
    a.norm_rotated = true;
  }
}

void dense_keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, "intermediate_size");
  k.only("mlp_bias", false, "biases in feed-forward layers");
  k.activation("hidden_act", d, "silu");
}

constexpr ExpertDialect kExperts{.top_k_key = "moe_topk", .experts = 1, .top_k = 1, .balance_key = nullptr, .router = "gate.wg", .shared = "shared_mlp"};
void sparse_keys(Keys& k, PlainDecoder& d) {
  shared_keys(k, d, nullptr);
  if (!k.reading()) return experts(k, d, kExperts);
  Config& cfg = k.config();
  Json keys = {{"moe_topk", alike(cfg, "moe_topk", 1)}};
  for (const char* key : {"num_experts", "intermediate_size", "hidden_act"})
    if (cfg.has(key)) keys[key] = cfg.take_json(key);
  Config own(keys, cfg.origin(), cfg.prefix());
  Keys inner(own);
  experts(inner, d, kExperts);
  own.finish();
  d.experts.shared_hidden = d.experts.hidden;
  if (alike(cfg, "num_shared_expert", 1) != 1) cfg.reject("num_shared_expert", "is not 1, which is not supported");
  if (alike(cfg, "moe_intermediate_size", d.experts.hidden) != d.experts.hidden)
    cfg.reject("moe_intermediate_size", "is not intermediate_size, which is not supported");
  k.only("use_mixed_mlp_moe", true, "no shared expert");
  k.only("moe_layer_num_skipped", 0, "dense layers");
  k.only("routed_scaling_factor", 1.0, "scaled gates");
  k.ignore({"output_router_logits", "moe_drop_tokens", "moe_random_routing_dropped_token", "num_local_experts"}, "training of the original");
}
constexpr DecoderNames kNames{.query_norm = "self_attn.query_layernorm", .key_norm = "self_attn.key_layernorm"};
constexpr DecoderFamily kDense{"hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", dense_keys, kNames},
    kMoe{"hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", sparse_keys, kNames, nullptr, &kExperts};

}  // namespace

Family hunyuan_v1_dense() { return decoder_family<kDense>("Llama with RMSNorm of each head's queries and keys after rotation. [Tencent, Hunyuan, 2025]"); }
Family hunyuan_v1_moe() {
  return decoder_family<kMoe>("HunYuan's attention with a mixture of experts beside one that all tokens take. [Tencent, Hunyuan-A13B, 2025]");
}

}  // namespace gamut::family
