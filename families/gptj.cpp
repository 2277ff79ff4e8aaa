// GPT-J: attention and feed-forward layer side by side behind one norm, neighbouring dimensions rotate. [Wang & Komatsuzaki 2021]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50400, .width = 4096, .layers = 28, .heads = 16, .hidden = 0, .eps = 1e-5},
        {.width = "n_embd", .layers = "n_layer", .heads = "n_head", .kv_heads = nullptr, .head_dim = nullptr, .hidden = "n_inner", .positions = "n_positions", .eps = "layer_norm_epsilon"});
  k.activation("activation_function", d, "gelu_new");
  int64_t rotary = d.attention[0].rotation.rotary;
  k.integer("rotary_dim", rotary, 64, 2, d.attention[0].head_dim);
  k.ignore({"rotary", "scale_attn_weights", "gradient_checkpointing", "task_specific_params", "tokenizer_class", "n_ctx"}, "has no influence");
  k.ignore({"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}, "another head");
  common(k, d, false);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.rope = a.interleaved = true;
    a.rotation.rotary = rotary;
  }
  d.spec.norm = "layer";
  d.spec.residual = Residual::parallel_one_norm;
  d.gated = false;
  d.ffn_bias = d.head_bias = true;
}
constexpr DecoderFamily kFamily{"gptj", "GPTJForCausalLM", keys,
                                {.embedding = "transformer.wte", .layer = "transformer.h.", .final_norm = "transformer.ln_f", .mixer_norm = "ln_1", .query = "attn.q_proj", .key = "attn.k_proj",
                                 .value = "attn.v_proj", .output = "attn.out_proj", .up = "mlp.fc_in", .down = "mlp.fc_out", .ignored = {".attn.bias", ".attn.masked_bias"}}};

}  // namespace

Family gptj() {
  return decoder_family<kFamily>("Attention and feed-forward layer side by side behind one LayerNorm; pairs of neighbouring dimensions rotate; a bias on the head. [Wang & Komatsuzaki, GPT-J-6B, 2021]");
}

}  // namespace gamut::family
