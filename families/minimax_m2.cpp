// MiniMax-M2: experts chosen by sigmoids with a bias, queries and keys normalised over all heads, a part of each head rotates. [MiniMax 2025]
#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts",
                                 .experts = 256,
                                 .top_k = 8,
                                 .hidden = 1536,
                                 .score = "sigmoid",
                                 .selection_bias = true,
                                 .module = "block_sparse_moe",
                                 .router_selection = "e_score_correction_bias",
                                 .gate = "w1",
                                 .up = "w3",
                                 .down = "w2"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 200064, .width = 3072, .layers = 62, .heads = 48, .kv_heads = 8, .head_dim = 128, .positions = 196608}, {.hidden = nullptr});
  double share = 1;  // an older key says it in dimensions
  if (k.reading()) {
    const auto head = d.attention[0].head_dim;
    share = static_cast<double>(k.config().take_in<int64_t>("rotary_dim", head, 2, head)) / static_cast<double>(head);
    k.only("use_qk_norm", true, "queries and keys without norms");
    k.only("qk_norm_type", "per_layer", "norms of each head");
    k.only("scoring_func", "sigmoid", "another score");
    k.only("use_routing_bias", true, "choices without a bias");
    k.only("shared_intermediate_size", 0, "a shared expert");
    k.ignore({"router_jitter_noise", "auto_map", "use_mtp", "num_mtp_modules", "mtp_transformer_layers"}, "training of the original");
  }
  rotation(k, d, 5e6, true, share);
  common(k, d, false);
  experts(k, d, kExperts);
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::all;
}
constexpr DecoderFamily kFamily{"minimax_m2", "MiniMaxM2ForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family minimax_m2() {
  return decoder_family<kFamily>(
      "Many experts chosen by sigmoids and a bias; RMSNorm of queries and keys over all heads, a part of each head rotates. [MiniMax, MiniMax-M2, 2025]");
}

}  // namespace gamut::family
