// Mixtral: Mistral's skeleton with a mixture of experts in every layer. [Jiang et al., Mixtral of Experts, 2024]
#include "families/decoder.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts", .hidden = 14336, .module = "block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.kv_heads = 8, .positions = 4096 * 32, .eps = 1e-5}, {.hidden = nullptr});
  k.integer_or_null("sliding_window", d, &AttentionOptions::window, 0);
  rotation(k, d, 1e6);
  common(k, d, false);
  experts(k, d, kExperts);
  k.ignore({"router_jitter_noise"}, "noise in training of the original");
}
constexpr GgufMapping kGguf{
    .architecture = "llama", .needs = "expert_count", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults, .neighbours = true};
constexpr DecoderFamily kFamily{.model_type = "mixtral", .architecture = "MixtralForCausalLM", .keys = keys, .experts = &kExperts, .gguf = &kGguf};

}  // namespace

Family mixtral() {
  return decoder_family<kFamily>(
      "Mistral's skeleton with a mixture of experts in every layer: softmax top-k, gates divided by their sum. [Jiang et al., Mixtral of Experts, 2024]");
}

}  // namespace gamut::family
