// SantaCoder and StarCoder: GPT-2 with one key head. [Ben Allal et al. 2023]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50257, .width = 768, .layers = 12, .heads = 12, .hidden = 0, .positions = 1024, .eps = 1e-5},
        {.width = "n_embd", .layers = "n_layer", .heads = "n_head", .kv_heads = nullptr, .head_dim = nullptr, .hidden = "n_inner", .positions = "n_positions", .eps = "layer_norm_epsilon"});
  k.activation("activation_function", d, "gelu_pytorch_tanh");
  bool one = d.attention[0].kv_heads == 1, scaled = d.attention[0].scale != 1;
  k.flag("multi_query", one, true);
  k.ignore({"num_key_value_heads"}, "one or all, as multi_query says");
  k.flag("scale_attn_weights", scaled, true);
  k.only("add_cross_attention", false, "attention to an encoder");
  k.ignore({"attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "inference_runner", "max_batch_size", "max_sequence_length", "pad_key_length", "pre_allocate_kv_cache",
            "validate_runner_input"},
           "how the original computed");
  k.ignore({"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}, "another head");
  common(k, d, true);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    if (one) a.kv_heads = 1;
    if (!scaled) a.scale = 1;
    a.bias = a.output_bias = true;
  }
  d.spec.norm = "layer";
  d.spec.positions = "learned";
  d.gated = false;
  d.ffn_bias = true;
}
void adapt(const ModelSpec& spec, DecoderNames& names) { names.grouped = attention_options(spec, 0).kv_heads > 1; }
constexpr DecoderFamily kFamily{"gpt_bigcode",
                                "GPTBigCodeForCausalLM",
                                keys,
                                {.embedding = "transformer.wte",
                                 .positions = "transformer.wpe",
                                 .layer = "transformer.h.",
                                 .final_norm = "transformer.ln_f",
                                 .mixer_norm = "ln_1",
                                 .channel_norm = "ln_2",
                                 .output = "attn.c_proj",
                                 .qkv = "attn.c_attn",
                                 .up = "mlp.c_fc",
                                 .down = "mlp.c_proj",
                                 .ignored = {".attn.bias", ".attn.masked_bias"}},
                                adapt};

}  // namespace

Family gpt_bigcode() { return decoder_family<kFamily>("GPT-2 with one key head for all queries. [Ben Allal et al., SantaCoder, 2023]"); }

}  // namespace gamut::family
