// Qwen2-MoE and Qwen1.5-MoE: Qwen2's attention, small experts and a gated shared one. [Yang et al. 2024]
#include <algorithm>

#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 60,
                                 .top_k = 4,
                                 .hidden = 1408,
                                 .normalise_key = "norm_topk_prob",
                                 .normalise = false,
                                 .shared_hidden_key = "shared_expert_intermediate_size",
                                 .shared_hidden = 5632,
                                 .shared_gate = true,
                                 .dense_hidden = 5632};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 151936, .width = 2048, .layers = 24, .heads = 16, .kv_heads = 16, .positions = 32768}, {.hidden = nullptr});
  k.flag("qkv_bias", d, &AttentionOptions::bias, true);
  int64_t last = 28;
  bool slides = std::any_of(d.attention.begin(), d.attention.end(), [](const AttentionOptions& a) { return a.window > 0; });
  k.flag("use_sliding_window", slides, false);
  k.integer("max_window_layers", last, 28, 0, 4096);
  windows(k, d, 4096, [&](size_t layer) { return slides && layer % 2 == 0 && static_cast<int64_t>(layer) < last; });
  if (k.reading() && !slides && std::any_of(d.attention.begin(), d.attention.end(), [](const AttentionOptions& a) { return a.window > 0; }))
    k.config().reject("layer_types", "names layers with a sliding window, which use_sliding_window switches off");
  rotation(k, d);
  common(k, d, false);
  experts(k, d, kExperts);
}
constexpr DecoderFamily kFamily{"qwen2_moe", "Qwen2MoeForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family qwen2_moe() {
  return decoder_family<kFamily>(
      "Qwen2's attention with a mixture of small experts and a shared one behind a gate, in every layer or some. [Yang et al., Qwen2, 2024]");
}

}  // namespace gamut::family
