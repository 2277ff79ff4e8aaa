// Falcon: attention and feed-forward layer side by side, one or few key heads. [Almazrouei et al. 2023]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 65024, .width = 4544, .layers = 32, .heads = 71, .hidden = 0, .eps = 1e-5},
        {.layers = k.either("num_hidden_layers", "n_layer"), .heads = k.either("num_attention_heads", "n_head"), .kv_heads = nullptr, .head_dim = nullptr, .hidden = "ffn_hidden_size", .eps = "layer_norm_epsilon"});
  k.activation("activation", d, "gelu");
  biases(k, d, "bias", false);
  bool alibi = d.attention[0].alibi > 0;
  k.flag("alibi", alibi, false);
  // With the newer layout any number of key heads, and one norm or two; else one key head or as many as heads.
  AttentionOptions& a = d.attention[0];
  bool newer = d.spec.residual == Residual::parallel || (a.kv_heads > 1 && a.kv_heads < a.heads), multi_query = a.kv_heads == 1, parallel = d.spec.residual != Residual::sequential;
  int64_t kv_heads = a.kv_heads, norms = d.spec.residual == Residual::parallel ? 2 : newer ? 1 : 0;
  k.flag("new_decoder_architecture", newer, false);
  k.flag("multi_query", multi_query, true);
  k.flag("parallel_attn", parallel, true);
  k.integer_or_null(k.either("num_kv_heads", "n_head_kv"), kv_heads, a.heads);
  k.integer_or_null("num_ln_in_parallel_attn", norms, 0);
  if (!alibi) rotation(k, d);
  k.ignore({"rope_theta", "rope_scaling", "rope_parameters"}, "ALiBi's positions do not rotate");
  common(k, d, true);
  if (!k.reading()) return;
  if (alibi)  // its bias is part of the scores that are scaled
    for (AttentionOptions& each : d.attention) {
      each.alibi = 8;
      each.alibi_scale = each.scale;
    }
  if (!newer) kv_heads = multi_query ? 1 : a.heads;
  if (kv_heads < 1 || a.heads % kv_heads != 0) k.config().reject("num_kv_heads", "must divide " + std::to_string(a.heads) + " heads, not " + std::to_string(kv_heads));
  for (AttentionOptions& each : d.attention) each.kv_heads = kv_heads;
  d.spec.residual = newer && norms != 1 ? Residual::parallel : newer || parallel ? Residual::parallel_one_norm : Residual::sequential;
  d.spec.norm = "layer";
  d.gated = false;
  d.ffn_bias = d.attention[0].bias;
}
void adapt(const ModelSpec& spec, DecoderNames& names) {
  if (spec.residual != Residual::parallel) return;
  names.mixer_norm = "ln_attn";
  names.channel_norm = "ln_mlp";
}
constexpr DecoderFamily kFamily{"falcon", "FalconForCausalLM", keys,
                                {.embedding = "transformer.word_embeddings", .layer = "transformer.h.", .final_norm = "transformer.ln_f", .output = "self_attention.dense",
                                 .qkv = "self_attention.query_key_value", .grouped = true, .up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"},
                                adapt};

}  // namespace

Family falcon() { return decoder_family<kFamily>("Attention and feed-forward layer side by side; one key head for all queries, or few; few biases. [Almazrouei et al., The Falcon Series, 2023]"); }

}  // namespace gamut::family
