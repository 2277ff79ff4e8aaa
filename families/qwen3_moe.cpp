// Qwen3-MoE: Qwen3's attention with a mixture of experts in every layer or every n-th. [Yang et al. 2025]
#include "families/decoder.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 128,
                                 .top_k = 8,
                                 .hidden = 768,
                                 .normalise_key = "norm_topk_prob",
                                 .normalise = false,
                                 .dense_hidden = 6144};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 151936, .width = 2048, .layers = 24, .kv_heads = 4, .positions = 32768}, {.hidden = nullptr});
  biases(k, d, "attention_bias", false);
  bool slides = d.attention[0].window > 0;
  k.flag("use_sliding_window", slides, false);
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 4096);
  k.ignore({"max_window_layers"}, "all layers slide or none");
  rotation(k, d);
  common(k, d, false);
  experts(k, d, kExperts);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.qk_norm = QkNorm::head;
    if (!slides) a.window = 0;
  }
}
constexpr GgufMapping kGguf{
    .architecture = "qwen3moe", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = R"({"rope_theta": 10000.0, "norm_topk_prob": true})"};
constexpr DecoderFamily kFamily{.model_type = "qwen3_moe", .architecture = "Qwen3MoeForCausalLM", .keys = keys, .experts = &kExperts, .gguf = &kGguf};

}  // namespace

Family qwen3_moe() {
  return decoder_family<kFamily>("Qwen3's attention with a mixture of experts in every layer, or in every decoder_sparse_step-th. [Yang et al., Qwen3, 2025]");
}

}  // namespace gamut::family
