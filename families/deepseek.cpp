// DeepSeek V1: Llama's attention; many small experts beside shared ones after the first layers. [Dai et al. 2024]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "n_routed_experts",
                                 .hidden_key = "moe_intermediate_size",
                                 .experts = 64,
                                 .top_k = 6,
                                 .hidden = 1407,
                                 .balance_key = nullptr,
                                 .normalise_key = "norm_topk_prob",
                                 .normalise = false,
                                 .shared = "shared_experts"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 102400, .layers = 30}, {.head_dim = nullptr, .hidden = nullptr});
  biases(k, d, "attention_bias", false);
  sparse_keys(k, d, kExperts, {.shared_experts = 0, .groups = nullptr, .every = "moe_layer_freq"});
  if (k.reading() && d.experts.top_k == 1) d.experts.normalise = false;  // as the publisher's code
  k.only("scoring_func", "softmax", "another score of experts");
  rotation(k, d);
  common(k, d, false);
}
constexpr DecoderFamily kFamily{"deepseek", "DeepseekForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family deepseek() {
  return decoder_family<kFamily>("Llama with many small experts beside shared ones after the first layers; gates as scored. [Dai et al., DeepSeekMoE, 2024]");
}

}  // namespace gamut::family
