#include "modules/channels/channels.h"
#include "modules/registry.h"

namespace gamut {

const std::vector<Registered<ChannelMixer>>& channel_mixers() {
  static const std::vector<Registered<ChannelMixer>> rows{
      {"ffn",
       "Feed-forward layer: down(act(gate x) ∘ up x), or down(act(gate x)) when gated = false. Options: hidden, activation, gated, bias. "
       "[Shazeer, GLU variants improve Transformer, 2020]",
       build_ffn},
      {"moe",
       "Mixture of experts: a router sends each token to top_k of `experts` feed-forward layers; y = Σ g_e·FFN_e(x), plus a shared FFN of shared_hidden units "
       "that every token passes. capacity_factor c > 0 lets an expert take at most ⌈c·N·k/E⌉ slots, later ones are dropped; 0 is dropless. Options: experts, top_k, "
       "hidden (of one expert), activation, gated, capacity_factor, shared_hidden, shared_gate (σ(w·x) on the shared expert), router.kind and its options. [Shazeer et al. 2017; Dai et al., DeepSeekMoE, 2024]",
       build_moe},
      {"shifted_ffn",
       "A feed-forward layer whose input is mixed with that of the position before: x + (x_prev − x)∘μ. Options as ffn. [Peng et al., RWKV, 2023]",
       build_shifted_ffn},
      {"none", "No channel mixer: the layer is its sequence mixer alone.", [](const BuildContext&, Config&) { return std::unique_ptr<ChannelMixer>(); }},
  };
  return rows;
}

}  // namespace gamut
