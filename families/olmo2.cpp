// OLMo 2 and 3, FlexOlmo: norms behind each block instead of before it, queries and keys normalised. [OLMo Team 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

void shared_keys(Keys& k, PlainDecoder& d) {
  biases(k, d, "attention_bias", false);
  common(k, d, false);
  if (!k.reading()) return;
  d.spec.placement = NormPlacement::branch;
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::all;
}
void dense_keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50304, .kv_heads = 32, .eps = 1e-5}, {.head_dim = nullptr});
  k.activation("hidden_act", d, "silu");
  shared_keys(k, d);
}
void keys2(Keys& k, PlainDecoder& d) {
  dense_keys(k, d);
  rotation(k, d, 10000);
}
void keys3(Keys& k, PlainDecoder& d) {
  dense_keys(k, d);
  windows(k, d, 4096, [](size_t layer) { return layer % 4 != 3; });
  rotation_by_window(k, d, 500000, 500000);
}
constexpr ExpertDialect kExperts{.experts = 7, .top_k = 5, .balance_loss = 0.01, .normalise_key = "norm_topk_prob", .normalise = false};
void flex_keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 100352, .kv_heads = 0, .positions = 4096}, {.head_dim = nullptr, .hidden = nullptr});
  shared_keys(k, d);
  rotation(k, d, 500000);
  experts(k, d, kExperts);
}
constexpr DecoderNames kNames{.mixer_norm = "post_attention_layernorm", .channel_norm = "post_feedforward_layernorm"};
constexpr DecoderFamily kOlmo2{"olmo2", "Olmo2ForCausalLM", keys2, kNames}, kOlmo3{"olmo3", "Olmo3ForCausalLM", keys3, kNames},
    kFlex{"flex_olmo", "FlexOlmoForCausalLM", flex_keys, kNames, nullptr, &kExperts};

}  // namespace

Family olmo2() { return decoder_family<kOlmo2>("Llama with RMSNorm of what each block gives instead of what it takes, and of queries and keys over all heads. [OLMo Team, 2 OLMo 2 Furious, 2025]"); }
Family olmo3() { return decoder_family<kOlmo3>("OLMo 2 with three sliding layers to one that sees all. [OLMo Team, OLMo 3, 2025]"); }
Family flex_olmo() { return decoder_family<kFlex>("OLMo 2 with a mixture of experts in every layer, whose members may be trained apart. [Shi et al., FlexOlmo, 2025]"); }

}  // namespace gamut::family
