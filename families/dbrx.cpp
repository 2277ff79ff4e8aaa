// DBRX: LayerNorm without biases, clipped queries, keys and values, four of sixteen experts. [Databricks 2024]
#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "moe_num_experts",
                                 .top_k_key = "moe_top_k",
                                 .hidden_key = "ffn_hidden_size",
                                 .activation_key = nullptr,
                                 .experts = 4,
                                 .top_k = 1,
                                 .hidden = 3584,
                                 .balance_key = nullptr,
                                 .module = "ffn",
                                 .router = "router.layer",
                                 .gate = "experts.mlp.w1",
                                 .up = "experts.mlp.v1",
                                 .down = "experts.mlp.w2",
                                 .layout = ExpertDialect::Layout::flat};
constexpr const char* kHow = "says nothing about what is computed";

void attention_keys(Keys& k, PlainDecoder& d) {
  k.integer("kv_n_heads", d, &AttentionOptions::kv_heads, 1);
  if (const AttentionOptions& a = d.attention[0]; a.heads % a.kv_heads != 0)
    k.config().reject("kv_n_heads", "must divide " + std::to_string(a.heads) + " heads, not " + std::to_string(a.kv_heads));
  k.number_or_null("clip_qkv", d, &AttentionOptions::clip, 0);
  rotation(k, d);
  k.ignore({"attn_pdrop", "model_type", "_name_or_path", "architectures", "chunk_size_feed_forward", "dtype", "torch_dtype", "id2label", "label2id",
            "is_encoder_decoder", "output_attentions", "output_hidden_states", "problem_type", "return_dict", "transformers_version"},
           kHow);
}

// Gates are divided by their norm of that power, or by nothing.
void expert_table(Keys& k, PlainDecoder& d, double& coefficient) {
  Experts& e = d.experts;
  expert_keys(k, e, kExperts);
  k.table("ffn_act_fn", [&](Keys& inner) { inner.activation("name", e.activation, "silu"); });
  double power = e.normalise ? e.power : 0;
  k.number_or_null("moe_normalize_expert_weights", power, 1);
  k.number("moe_loss_weight", coefficient, 0.01, 0, 100);
  k.only("uniform_expert_assignment", false, "experts that are assigned in turn");
  k.ignore({"moe_jitter_eps"}, "noise in training of the original");
  k.ignore({"hidden_size", "model_type", "_name_or_path", "architectures", "chunk_size_feed_forward", "dtype", "torch_dtype", "id2label", "label2id",
            "is_encoder_decoder", "output_attentions", "output_hidden_states", "problem_type", "return_dict", "transformers_version"},
           kHow);
  if (!k.reading()) return;
  e.normalise = power > 0;
  e.power = power > 0 ? power : 1;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.width = 2048, .layers = 24, .heads = 16, .eps = 1e-5},
        {.width = "d_model",
         .layers = "n_layers",
         .heads = "n_heads",
         .kv_heads = nullptr,
         .head_dim = nullptr,
         .hidden = nullptr,
         .positions = "max_seq_len",
         .eps = nullptr});
  k.table("attn_config", [&](Keys& inner) { attention_keys(inner, d); });
  // What transformers writes and reads; published files have attn_config.rope_theta.
  const auto given = [&](const char* key) { return k.config().has(key) && !k.config().is_null(key); };
  if (!k.reading() || given("rope_parameters") || given("rope_theta"))
    rotation(k, d);
  else
    k.ignore({"rope_parameters", "rope_theta", "rope_scaling"}, "null: attn_config says it");
  double coefficient = d.experts.pooled / static_cast<double>(d.experts.top_k);
  bool wanted = d.experts.pooled > 0;
  k.table("ffn_config", [&](Keys& inner) { expert_table(inner, d, coefficient); });
  k.flag("output_router_logits", wanted, false);
  k.ignore({"emb_pdrop", "auto_map", "num_key_value_heads"}, kHow);
  common(k, d, false);
  if (!k.reading()) return;
  d.sparse.assign(d.attention.size(), true);
  d.experts.pooled = wanted ? coefficient * static_cast<double>(d.experts.top_k) : 0;
  d.spec.norm = "layer";
  d.spec.norm_bias = false;
}
constexpr DecoderFamily kFamily{"dbrx",
                                "DbrxForCausalLM",
                                keys,
                                {.embedding = "transformer.wte",
                                 .layer = "transformer.blocks.",
                                 .final_norm = "transformer.norm_f",
                                 .mixer_norm = "norm_attn_norm.norm_1",
                                 .channel_norm = "norm_attn_norm.norm_2",
                                 .output = "norm_attn_norm.attn.out_proj",
                                 .qkv = "norm_attn_norm.attn.Wqkv"},
                                nullptr,
                                &kExperts};

}  // namespace

Family dbrx() {
  return decoder_family<kFamily>("Mixtures of fine-grained experts; LayerNorm without biases; queries, keys and values are cut off. [Databricks, DBRX, 2024]");
}

}  // namespace gamut::family
