// OPT: learned positions from the third row on, ReLU layers, biases. [Zhang et al. 2022]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50272, .width = 768, .layers = 12, .heads = 12, .hidden = 3072, .eps = 1e-5}, {.kv_heads = nullptr, .head_dim = nullptr, .hidden = "ffn_dim", .eps = nullptr});
  k.activation("activation_function", d, "relu");
  bool before = d.spec.placement == NormPlacement::pre;
  k.flag("do_layer_norm_before", before, true);
  if (before) k.only("_remove_final_layer_norm", false, "no final norm");
  else k.ignore({"_remove_final_layer_norm"}, "there is none");
  int64_t narrow = d.spec.embedding_width > 0 ? d.spec.embedding_width : d.spec.width;
  k.integer_or_null("word_embed_proj_dim", narrow, d.spec.width);
  if (k.reading() && narrow > 0 && narrow != d.spec.width) d.spec.embedding_width = narrow;
  biases(k, d, "enable_bias", true);
  k.flag("layer_norm_elementwise_affine", d.spec.norm_gain, true);
  k.ignore({"activation_dropout", "prefix"}, "training of the original");
  common(k, d, true);
  k.number("init_std", d.spec.init_std, d.spec.init_std, 0, 10);
  if (!k.reading()) return;
  d.spec.norm = "layer";
  d.spec.norm_bias = d.spec.norm_gain;
  d.spec.placement = before ? NormPlacement::pre : NormPlacement::post;
  d.spec.positions = "learned";
  d.spec.position_offset = 2;
  d.gated = false;
  d.ffn_bias = d.attention[0].bias;
}
constexpr DecoderFamily kFamily{"opt", "OPTForCausalLM", keys,
                                {.embedding = "model.decoder.embed_tokens", .positions = "model.decoder.embed_positions", .widening = "model.decoder.project_in",
                                 .narrowing = "model.decoder.project_out", .layer = "model.decoder.layers.",
                                 .final_norm = "model.decoder.final_layer_norm", .mixer_norm = "self_attn_layer_norm", .channel_norm = "final_layer_norm", .output = "self_attn.out_proj",
                                 .up = "fc1", .down = "fc2"}};

}  // namespace

Family opt() { return decoder_family<kFamily>("GPT-3 rebuilt: learned positions, LayerNorm before each block, ReLU layers, biases. [Zhang et al., OPT, 2022]"); }

}  // namespace gamut::family
