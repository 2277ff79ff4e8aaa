// DeepSeek V2: latent attention; experts chosen by a softmax, within the best groups where there are any. [DeepSeek-AI 2024]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "n_routed_experts",
                                 .hidden_key = "moe_intermediate_size",
                                 .experts = 64,
                                 .top_k = 6,
                                 .hidden = 1407,
                                 .balance_key = nullptr,
                                 .normalise = false,
                                 .scale_key = "routed_scaling_factor",
                                 .shared = "shared_experts"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 102400, .head_dim = 64}, kLatentSizes);
  bool bias = d.ffn_bias || d.experts.shared_bias;  // of dense layers and shared experts
  k.flag("mlp_bias", bias, false);
  sparse_keys(k, d, kExperts, {.shared_experts = 2, .group_count = 0, .kept_count = 0});
  const bool grouped =
      k.reading() ? k.config().take_choice("topk_method", "greedy", {"greedy", "group_limited_greedy"}) == "group_limited_greedy" : d.experts.groups > 1;
  if (!k.reading()) k.json()["topk_method"] = grouped ? "group_limited_greedy" : "greedy";
  k.only("scoring_func", "softmax", "another score of experts");
  k.only("norm_topk_prob", false, "gates divided by their sum, which implementations disagree about");
  k.only("moe_layer_freq", 1, "dense layers between sparse ones");
  rotation(k, d);
  latent_keys(k, d, {});
  common(k, d, false);
  if (!k.reading()) return;
  d.ffn_bias = d.experts.shared_bias = bias;
  d.experts.group_score = "max";
  if (!grouped) d.experts.groups = d.experts.kept_groups = 1;
}
constexpr DecoderFamily kFamily{"deepseek_v2", "DeepseekV2ForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family deepseek_v2() {
  return decoder_family<kFamily>(
      "Attention through a latent per position; experts chosen by a softmax within the best groups, beside shared ones. [DeepSeek-AI, DeepSeek-V2, 2024]");
}

}  // namespace gamut::family
