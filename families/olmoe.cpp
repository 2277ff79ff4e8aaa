// OLMoE: many small experts, gates not divided by their sum, queries and keys normalised over all heads. [Muennighoff et al. 2024]
#include "families/decoder.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.experts = 64, .top_k = 8, .hidden = 2048, .balance_loss = 0.01, .normalise_key = "norm_topk_prob", .normalise = false};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50304, .width = 2048, .layers = 16, .heads = 16, .positions = 4096, .eps = 1e-5}, {.hidden = nullptr});
  biases(k, d, "attention_bias", false);
  k.number_or_null("clip_qkv", d, &AttentionOptions::clip, 0);
  rotation(k, d);
  common(k, d, false);
  experts(k, d, kExperts);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::all;
}
constexpr GgufMapping kGguf{
    .architecture = "olmoe", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = R"({"rope_theta": 10000.0, "norm_topk_prob": false})"};
constexpr DecoderFamily kFamily{.model_type = "olmoe", .architecture = "OlmoeForCausalLM", .keys = keys, .experts = &kExperts, .gguf = &kGguf};

}  // namespace

Family olmoe() {
  return decoder_family<kFamily>(
      "A mixture of many small experts in every layer, gates not divided by their sum; RMSNorm of queries and keys over all heads. [Muennighoff et al., "
      "OLMoE, 2024]");
}

}  // namespace gamut::family
