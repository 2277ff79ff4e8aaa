#include "modules/registry.h"
#include "modules/channels/channels.h"

namespace gamut {

const std::vector<Registered<ChannelMixer>>& channel_mixers() {
  static const std::vector<Registered<ChannelMixer>> rows{
      {"ffn",
       "Feed-forward layer: down(act(gate x) ∘ up x), or down(act(gate x)) when gated = false. Options: hidden, activation, gated, bias, limit, up_shift (see "
       "moe). "
       "[Shazeer, GLU variants improve Transformer, 2020]",
       build_ffn},
      {"moe",
       "Mixture of experts: a router sends each token to top_k of `experts` feed-forward layers; y = Σ g_e·FFN_e(x), or Σ FFN_e(g_e·x) with weigh = input "
       "[Llama 4], plus a shared FFN of "
       "shared_hidden units that every token passes, times σ(w·x) with shared_gate; with residual softmax(W x + b) weighs both parts [Rajbhandari et al., "
       "DeepSpeed-MoE, 2022]. zero_experts and identity_experts "
       "are routed to like the others and give 0 or x, constant_experts a mean of x and a learned vector [Jin et al., MoE++, 2024; LongCat-Flash, 2025]. "
       "latent L: routed experts work on L dimensions, "
       "between a projection down and one up; router and shared expert see all [Nemotron-H]. Dropless unless capacity_factor c > 0 or capacity > 0 (a "
       "fixed number) lets an expert take only so many slots: "
       "capacity_formula ceil ⌈c·T·k/E⌉ [Megatron], floor [MegaBlocks], tutel k·⌊c·⌈T/E⌉⌋, fairseq k·⌈T/E⌉, tokens ⌈c·T⌉ [NLLB], at least capacity_min; T "
       "counts the batch, a sequence or group_tokens "
       "tokens (capacity_group). drop says who stays: position, probability (largest gates), prioritised (tokens by their best score), random; drop_order "
       "token or choice (all first choices before "
       "any second); drop_when training or always (then capacity_factor_later is of evaluation and decoding, as GShard's 2 after 1.25); capacity_devices D > 0 "
       "gives the experts of each of D devices one limit together, by the same formula with D for E, and drop_exempt a share of the sequences that lose "
       "nothing "
       "in training [DeepSeek-V2]; drop_padding leaves padding out; kept_sum s > 0 divides the gates of what is kept by their sum, times s. "
       "Dropped tokens pass by the residual. output_orthogonality c adds c times the mean of cos² between what a token's experts give, over pairs "
       "(the mean is 1 when all say the same), in training [after Guo et al., Advancing expert specialization, 2025]. "
       "A causal model refuses what looks at later tokens, unless allow_lookahead. Options beside these: experts, top_k, hidden (of one expert), activation, "
       "gated, bias, shared_bias (of the shared expert; bias), output_bias (of the result), limit (cuts the gate at limit and "
       "up at ±limit), up_shift (added to up) [gpt-oss], router.kind and its options. [Shazeer et al. 2017; Dai et al., DeepSeekMoE, 2024]",
       build_moe},
      {"soft_moe",
       "Soft mixture of experts: each of `slots` slots of an expert takes a mean of the sequence's tokens weighted by a softmax over tokens, each token a mean "
       "of all slots' results weighted by a softmax "
       "over slots; scores are cosines times a learned scale. Differentiable and balanced, but it looks at later tokens: a causal model refuses it unless "
       "allow_lookahead. "
       "Options: experts, slots (of one expert), allow_lookahead, and those of ffn. [Puigcerver et al., From sparse to soft mixtures of experts, 2023]",
       build_soft_moe},
      {"shifted_ffn",
       "A feed-forward layer whose input is mixed with that of the position before: x + (x_prev − x)∘μ. Options: those of ffn, receptance (σ(W x_r) "
       "on the result, x_r a mixture of its own), mix (whose share μ is: previous or present). [Peng et al., RWKV, 2023]",
       build_shifted_ffn},
      {"shortcut",
       "Two channel mixers that read the same input: now (a table as of a layer) is added at once, later with the next layer's shortcut, which has no `later` "
       "itself: so both may be computed side by side. "
       "Options: now, later. [Cai et al., Shortcut-connected expert parallelism, 2024; Meituan, LongCat-Flash, 2025]",
       build_shortcut},
      {"none", "No channel mixer: the layer is its sequence mixer alone.", [](const BuildContext&, Config&) { return std::unique_ptr<ChannelMixer>(); }},
  };
  return rows;
}

}  // namespace gamut
