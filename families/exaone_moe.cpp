// K-EXAONE: EXAONE 4's attention behind norms, with DeepSeek V3's experts. [LG AI Research 2026]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 64,
                                 .top_k = 8,
                                 .hidden = 1024,
                                 .balance_key = nullptr,
                                 .normalise_key = "norm_topk_prob",
                                 .scale_key = "routed_scaling_factor",
                                 .scale = 2.5,
                                 .score = "sigmoid",
                                 .selection_bias = true,
                                 .router_selection = "e_score_correction_bias",
                                 .shared = "shared_experts"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 102400, .eps = 1e-5}, {.hidden = nullptr});
  sparse_keys(k, d, kExperts, {.dense_hidden = 16384, .shared = "num_shared_experts", .first_sparse = 1, .types = "mlp_layer_types"});
  if (k.reading() && k.config().has("is_moe_layer")) {  // the publisher's files
    d.sparse = k.config().take<std::vector<bool>>("is_moe_layer");
    if (d.sparse.size() != d.attention.size())
      k.config().reject("is_moe_layer", "names " + std::to_string(d.sparse.size()) + " layers, there are " + std::to_string(d.attention.size()));
  }
  const bool hybrid = !k.reading() || !k.config().is_null("sliding_window");
  windows(k, d, 4096, k.reading() ? window_pattern(k.config(), 4, d.attention.size()) : nullptr);
  rotation(k, d);
  common(k, d, false);
  k.ignore({"num_nextn_predict_layers"}, "a model beside this one");
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::head;
  if (hybrid) still_where(d, [&](size_t layer) { return d.attention[layer].window == 0; });
}
constexpr DecoderFamily kFamily{"exaone_moe", "ExaoneMoeForCausalLM", keys, {.beside = "mtp."}, nullptr, &kExperts};

}  // namespace

Family exaone_moe() {
  return decoder_family<kFamily>(
      "Three sliding layers to one that sees all and has no positions; experts chosen by a sigmoid and a bias, beside a shared one. [LG AI Research, K-EXAONE, "
      "2026]");
}

}  // namespace gamut::family
