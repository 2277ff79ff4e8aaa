// Trinity (AFMoE): gated attention, norms before and after each block; experts chosen by a sigmoid and a bias. [Arcee AI 2025]
#include "families/deepseek_layers.h"

#include <cmath>

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 64,
                                 .top_k = 6,
                                 .hidden = 1408,
                                 .balance_key = nullptr,
                                 .scale_key = "route_scale",
                                 .score = "sigmoid",
                                 .selection_bias = true,
                                 .router = "router.gate",
                                 .router_selection = "expert_bias",
                                 .shared = "shared_experts"};

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 200192, .width = 2048, .heads = 16, .head_dim = 128, .positions = 16384, .eps = 1e-5}, {.hidden = nullptr});
  sparse_keys(k, d, kExperts,
              {.dense_hidden = 6144, .shared = "num_shared_experts", .shared_experts = 2, .groups = nullptr, .first = "num_dense_layers", .first_sparse = 1});
  const double mup = std::sqrt(static_cast<double>(d.spec.width));
  bool scaled = d.spec.embedding_scale != 1;
  k.flag("mup_enabled", scaled, false);
  biases(k, d, "attention_bias", false);
  k.only("route_norm", true, "gates that are not divided by their sum");
  k.only("score_func", "sigmoid", "another score of experts");
  for (const char* key : {"n_group", "topk_group", "num_expert_groups", "num_limited_groups"}) k.only(key, 1, "groups of experts");
  k.ignore({"load_balance_coeff", "use_grouped_mm"}, "training of the original");
  int64_t every = 4;
  if (k.reading()) k.integer("global_attn_every_n_layers", every, 4, 1, 4096);
  windows(k, d, 1024, [&](size_t layer) { return (static_cast<int64_t>(layer) + 1) % every != 0; });
  rotation(k, d);
  common(k, d, false);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.qk_norm = QkNorm::head;
    a.gate = true;
  }
  still_where(d, [&](size_t layer) { return d.attention[layer].window == 0; });
  d.spec.placement = NormPlacement::both;
  if (scaled) d.spec.embedding_scale = mup;
}
constexpr DecoderFamily kFamily{"afmoe",
                                "AfmoeForCausalLM",
                                keys,
                                {.mixer_post_norm = "post_attention_layernorm",
                                 .channel_norm = "pre_mlp_layernorm",
                                 .channel_post_norm = "post_mlp_layernorm",
                                 .attention_gate = "self_attn.gate_proj"},
                                nullptr,
                                &kExperts};

}  // namespace

Family afmoe() {
  return decoder_family<kFamily>(
      "Gated attention that slides in three layers of four, which alone rotate; experts chosen by a sigmoid and a bias, beside shared ones. [Arcee AI, "
      "Trinity, 2025]");
}

}  // namespace gamut::family
