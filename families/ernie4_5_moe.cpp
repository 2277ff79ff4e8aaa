// ERNIE 4.5 with experts: chosen by a softmax and a bias of choices, in the layers of a range. [Baidu 2025]
#include "families/decoder.h"

#include <algorithm>

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "moe_num_experts",
                                 .top_k_key = "moe_k",
                                 .hidden_key = "moe_intermediate_size",
                                 .experts = 64,
                                 .top_k = 6,
                                 .hidden = 1536,
                                 .selection_bias = true,
                                 .router_selection = "moe_statics.e_score_correction_bias",
                                 .selection_row = true,
                                 .shared = "shared_experts"};

// Layers from the first to the last index, both included, of which every n-th.
void range(Keys& k, PlainDecoder& d) {
  const auto layers = static_cast<int64_t>(d.attention.size());
  int64_t first = 0, last = layers - 1, every = 1;
  if (const auto at = std::find(d.sparse.begin(), d.sparse.end(), true); !k.reading() && at != d.sparse.end()) {
    const auto end = std::find(d.sparse.rbegin(), d.sparse.rend(), true).base();
    first = at - d.sparse.begin();
    last = end - d.sparse.begin() - 1;
    if (at + 1 != end) every = std::find(at + 1, end, true) - at;
  }
  k.integer("moe_layer_start_index", first, 1, 0);
  k.integer("moe_layer_end_index", last, -1, -1);
  k.integer("moe_layer_interval", every, 1);
  if (!k.reading()) return;
  if (last == -1) last = layers - 1;
  d.sparse.clear();
  for (int64_t i = 0; i < layers; ++i) d.sparse.push_back((i + 1) % every == 0 && i >= first && i <= last);
}

void keys(Keys& k, PlainDecoder& d) {
  Experts& e = d.experts;
  sizes(k, d, {.vocab = 103424, .width = 2560, .layers = 28, .heads = 20, .kv_heads = 4, .positions = 131072, .eps = 1e-5}, {.hidden = nullptr});
  biases(k, d, "use_bias", false);
  expert_keys(k, e, kExperts);
  int64_t hidden = d.hidden > 0 && !k.reading() ? d.hidden : e.hidden, shared = e.shared_hidden / std::max<int64_t>(e.hidden, 1);
  k.integer("intermediate_size", hidden, 12288);
  k.integer("moe_num_shared_experts", shared, 2, 0);
  k.number("moe_norm_min", e.floor, 1e-12, 0, 1);
  k.only("moe_use_aux_free", true, "experts without a bias of choices");
  range(k, d);
  rotation(k, d, 500000);
  common(k, d, true);
  if (!k.reading()) return;
  d.hidden = hidden;
  d.activation = e.activation;
  e.shared_hidden = shared * e.hidden;
  e.epsilon = 0;
  d.ffn_bias = d.head_bias = e.shared_bias = d.attention[0].bias;
  for (AttentionOptions& a : d.attention) a.interleaved = true;
}
constexpr DecoderFamily kFamily{"ernie4_5_moe", "Ernie4_5_MoeForCausalLM", keys, {.beside = "model.mtp_"}, nullptr, &kExperts};

}  // namespace

Family ernie4_5_moe() { return decoder_family<kFamily>("ERNIE 4.5 with experts chosen by a softmax and a bias, beside shared ones. [Baidu, ERNIE 4.5, 2025]"); }

}  // namespace gamut::family
