// MPT: positions by ALiBi, LayerNorm without biases, no biases anywhere. [MosaicML 2023]
#include "families/decoder.h"

namespace gamut::family {
namespace {

// The table attn_config.
void attention_keys(Keys& k, PlainDecoder& d) {
  k.number("alibi_bias_max", d, &AttentionOptions::alibi, 8);
  k.whole("alibi_bias_max");
  k.number_or_null("clip_qkv", d, &AttentionOptions::clip, 0);
  k.number("softmax_scale", d, &AttentionOptions::scale, d.attention[0].scale);
  k.only("alibi", true, "positions other than ALiBi");
  k.only("attn_type", "multihead_attention", "another kind of attention");
  k.only("qk_ln", false, "normalised queries and keys");
  k.only("prefix_lm", false, "a prefix that all see");
  k.only("attn_uses_sequence_id", false, "several texts in a row");
  k.ignore({"attn_impl", "attn_pdrop", "model_type", "_name_or_path", "architectures", "chunk_size_feed_forward", "dtype", "torch_dtype", "id2label", "label2id", "is_encoder_decoder",
            "output_attentions", "output_hidden_states", "problem_type", "return_dict"},
           "says nothing about what is computed");
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50368, .width = 2048, .layers = 24, .heads = 16, .eps = 1e-5},
        {.width = "d_model", .layers = "n_layers", .heads = "n_heads", .kv_heads = nullptr, .head_dim = nullptr, .hidden = nullptr, .positions = "max_seq_len", .eps = "layer_norm_epsilon"});
  k.only("no_bias", true, "biases");
  k.only("norm_type", "low_precision_layernorm", "another norm");
  k.only("logit_scale", Json(), "scaled logits");
  k.only("embedding_fraction", 1.0, "gradients of a part of the embedding");
  k.ignore({"learned_pos_emb", "verbose", "init_device", "emb_pdrop", "init_config", "ffn_config", "fc_type", "expansion_ratio", "tokenizer_name", "auto_map"}, "has no influence: positions are ALiBi's, feed-forward layers four times as wide");
  k.table("attn_config", [&](Keys& inner) { attention_keys(inner, d); });
  common(k, d, true);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.spec.norm_bias = false;
  d.activation = "gelu";
  d.gated = false;
}
constexpr DecoderFamily kFamily{"mpt", "MptForCausalLM", keys,
                                {.embedding = "transformer.wte", .layer = "transformer.blocks.", .final_norm = "transformer.norm_f", .mixer_norm = "norm_1", .channel_norm = "norm_2",
                                 .output = "attn.out_proj", .qkv = "attn.Wqkv", .up = "ffn.up_proj", .down = "ffn.down_proj"}};

}  // namespace

Family mpt() { return decoder_family<kFamily>("Positions by a bias that falls with distance (ALiBi); LayerNorm without biases, and no biases anywhere. [MosaicML, MPT-7B, 2023]"); }

}  // namespace gamut::family
