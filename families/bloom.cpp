// BLOOM: positions by ALiBi, a norm after the embedding, biases everywhere. [BigScience 2022]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 250880, .width = 64, .layers = 2, .heads = 8, .eps = 1e-5},
        {.width = k.either("hidden_size", "n_embed"), .layers = k.either("n_layer", "num_hidden_layers"), .heads = k.either("n_head", "num_attention_heads"), .kv_heads = nullptr, .head_dim = nullptr,
         .hidden = nullptr, .positions = nullptr, .eps = "layer_norm_epsilon"});
  bool behind = d.spec.placement == NormPlacement::stream;  // blocks add to what they take
  k.flag("apply_residual_connection_post_layernorm", behind, false);
  k.only("n_inner", Json(), "another width of feed-forward layers");
  k.ignore({"slow_but_exact", "attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi", "seq_length", "skip_bias_add", "skip_bias_add_qkv", "unk_token_id"},
           "how the original computed");
  common(k, d, true);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.alibi = 8;
    a.bias = a.output_bias = true;
  }
  d.spec.norm = "layer";
  d.spec.embedding_norm = true;
  d.spec.placement = behind ? NormPlacement::stream : NormPlacement::pre;
  d.activation = "gelu_tanh";
  d.gated = false;
  d.ffn_bias = true;
}
constexpr DecoderFamily kFamily{"bloom", "BloomForCausalLM", keys,
                                {.embedding = "transformer.word_embeddings", .embedding_norm = "transformer.word_embeddings_layernorm", .layer = "transformer.h.", .final_norm = "transformer.ln_f",
                                 .output = "self_attention.dense", .qkv = "self_attention.query_key_value", .grouped = true, .up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"}};

}  // namespace

Family bloom() { return decoder_family<kFamily>("Positions by a bias that falls with distance (ALiBi); a LayerNorm after the embedding; biases everywhere. [BigScience Workshop, BLOOM, 2022]"); }

}  // namespace gamut::family
