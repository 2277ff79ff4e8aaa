#include "modules/channels/routers/router.h"

namespace gamut {

const std::vector<RegisteredRouter>& routers() {
  static const std::vector<RegisteredRouter> rows{
      {"topk",
       "Scores s = softmax(W x), or sigmoid, or sqrt_softplus √ln(1 + e^h), the k largest win; gate g = s [/ Σ selected s] · scale. normalise = true divides "
       "by the selected "
       "sum (equal to a softmax over the k winners), false does not; normalise_power p: by (Σ s^p)^(1/p) [DBRX], of max(Σ, normalise_floor) + "
       "normalise_epsilon. "
       "groups, kept_groups, group_score: experts lie in groups of which only the best may be chosen, by their largest score (max) [DeepSeek-V2], the sum of "
       "their two largest (sum2) [DeepSeek-V3], or of their top_k/kept_groups largest, a kept group's share of the choices (sum_share) [Megatron-LM]; "
       "group_mask = zero leaves the others' experts in with a score of 0 instead of none [MLX, older Hugging Face "
       "transformers]. balance: none; loss adds α·E·Σ f·P of each layer [Switch loss]; pooled adds it once, with f and P pooled over all layers "
       "[Mixtral in Hugging Face transformers]; in both f counts slots, divided by k, so that balance gives 1 (transformers' is k times as much, which "
       "balance_count = tokens gives for loss); bias adds a bias to selection only and moves it after every step by bias_rate·sign(mean load − load), or "
       "proportionally "
       "(bias_rule), until the share bias_until of the run, centred by bias_centre [Wang et al., Auxiliary-loss-free load balancing, 2024]; choice_bias = true "
       "has that bias, unmoved, beside another balance. "
       "jitter ε multiplies the router's input by uniform noise in 1 ± ε in training [Switch]. precision = bf16 rounds the router's product as models do that "
       "route in bf16. "
       "linear_bias adds a learned bias to the logits. orthogonal_loss c·Σ|W·Wᵀ − 1| keeps the experts' rows orthonormal [Omi et al., Similarity preserving "
       "routers, 2025]. Options: score, choice_bias, normalise, normalise_power, normalise_epsilon, normalise_floor, orthogonal_loss, scale, groups, "
       "kept_groups, group_score, group_mask, linear_bias, "
       "precision, jitter, balance, balance_loss, bias_rate, bias_rule, bias_until, bias_centre, and those of 'router_losses'.",
       build_topk,
       {}},
      {"switch",
       "Top-1 with the unnormalised softmax probability as gate, so that the router learns from the task: y = p_e·FFN_e(x). Needs k = 1. "
       "Loss α·E·Σ f·P, 1 when balanced. "
       "Options: balance_loss, z_loss, jitter, linear_bias. [Fedus et al., Switch Transformers, 2021]",
       build_switch,
       {}},
      {"gshard",
       "Top-2 of a softmax, gates divided by their sum. In training the second expert is kept at random: second = random if 2·g₂ > u [GShard; fairseq, NLLB], "
       "random_mesh if u < g₂/0.2 "
       "[Mesh TensorFlow], all always; sampling chooses it with Gumbel noise [NLLB]. Needs k = 2; goes with drop_order = choice. Options: second, normalise, "
       "scale, balance_loss and 'router_losses' "
       "(balance_count = first by default: f of first choices alone, no factor k, 1 when balanced). [Lepikhin et al., GShard, 2020]",
       build_gshard,
       {.fixed_count = false}},
      {"sparsemixer",
       "Two choices one after the other, each from a softmax over the experts whose logit is within 2ε of the largest left, relative to the larger magnitude; "
       "gates need not sum to 1. sample = true "
       "draws them in training with Gumbel noise and estimates the gradient by Heun's third-order rule. Needs k = 2. Options: epsilon, sample, balance (loss, "
       "pooled), balance_loss and 'router_losses': of the plain softmax and its two largest, f divided by k, 1 when balanced. "
       "[Liu et al., Sparse backpropagation for MoE training, 2023; Phi-3.5-MoE, 2024]",
       build_sparsemixer,
       {}},
      {"dense",
       "All experts, weighted by a softmax: top_k must be their number. Options as topk; f is 1 for every expert, so its balancing loss is the constant 1. "
       "[Jacobs et al., Adaptive mixtures of local experts, 1991]",
       build_dense,
       {}},
      {"noisy_topk",
       "Top-k of noisy logits H = xW + z·softplus(xW_n)+0.01·z, z normal, in training; gates are the softmax over the k winners, all weights start at zero. "
       "Two losses: CV² of the experts' summed gates "
       "(importance_loss) and of the probability to be chosen under another draw of the noise (load_loss), both Var/(mean² + 1e-10) by the population's "
       "variance; variance = sample divides by E − 1 [FastMoE, Tutel]. noise = constant: σ = noise_std/E, importance of the clean softmax (importance_of = "
       "scores, instead of gates), gates not "
       "normalised [V-MoE]. "
       "Options: noise, noise_std, normalise, start (zero, normal), importance_of, load_loss (0.01) and 'router_losses' (importance_loss 0.01). [Shazeer et "
       "al., Outrageously "
       "large "
       "neural networks, 2017]",
       build_noisy_topk,
       {}},
      {"hierarchical",
       "Two levels. gating = noisy_topk: group_k of `groups` by one noisy softmax, then top_k/group_k experts inside each chosen group by its own; "
       "g = G⁰_i·G_ij, each level's gates divided by their sum where it chooses more than one (normalise). Noise as in noisy_topk, at both levels, or none. "
       "Losses: importance_loss (0.01), CV² of the experts' summed gates; load_loss (0.01), CV² of Load⁰_i·Load_i(X⁽ⁱ⁾)_j/|X⁽ⁱ⁾|, X⁽ⁱ⁾ the tokens that take "
       "group i; population variance. [Shazeer et al. 2017, appendix B]. gating = gshard: two experts of a first group, one of a second, top_k = 3; tokens "
       "that "
       "do not count (padding) take none; in training second groups and second experts are kept as `second` says (all, random, random_mesh), as in gshard. Its "
       "balance_loss (0.01) is that of the groups' first choices and the mean over groups of that within, each 1 when balanced; means within a group are over "
       "the tokens whose first group it is, not over the slots of a capacity [Mesh TensorFlow]. Options: gating, groups, and group_k, normalise, noise "
       "(learned, "
       "constant, none), noise_std, start, load_loss, balance_loss (of the products, f divided by k) or second, balance_loss; and 'router_losses'.",
       build_hierarchical,
       {.interchangeable = false}},
      {"expert_choice",
       "Every expert takes the ⌈factor·T/E⌉ tokens with the largest p = softmax over experts (or another score; sigmoid with one expert lets tokens pass a "
       "layer by [Raposo et al., Mixture-of-depths, 2024]), of each sequence (group = sequence: it does not feel its neighbours) or the batch; gates p. "
       "Balanced, but whether a token is taken depends on later "
       "ones: no causal model can use it. It carries no balancing loss. Options: factor (top_k by default), group, score and 'router_losses'. [Zhou et al., "
       "Mixture-of-experts with expert choice "
       "routing, 2022]",
       build_expert_choice,
       {.sight = RouterSight::batch, .fixed_count = false}},
      {"base",
       "In training a balanced assignment, ⌈T/E⌉ tokens for each expert, that maximises the sum of scores (assignment = auction, or exact); in evaluation the "
       "best score. Gate σ(score). Experts' vectors start orthogonal, of length 0.1. Needs k = 1. "
       "Training looks at the whole batch. No auxiliary loss. Options: assignment. [Lewis et al., BASE layers, 2021]",
       build_base,
       {.sight = RouterSight::training}},
      {"sinkhorn",
       "In training the k largest of a score matrix scaled to equal row and column sums, without gradient; in evaluation plain top-k. Gates σ(h) for k = 1, "
       "softmax(h) otherwise. Training looks at the whole "
       "batch. No auxiliary loss. [Clark et al., Unified scaling laws for routed language models, 2022]",
       build_sinkhorn,
       {.sight = RouterSight::training}},
      {"quantile",
       "Top-k of logits − β; β_e follows the (T·k/E + 1)-th largest of h_te − α_t, α_t the first logit − β that token t does not choose: balance without a "
       "loss. keep: share of the old β a step. "
       "Options: normalise, keep and 'router_losses'. [quantile balancing, Megatron-LM, 2026]",
       build_quantile,
       {}},
      {"cosine",
       "Logits are cosines between the projected token and the experts' vectors, times exp(min(τ, ln 100)), τ learned from ln 2. Options: projection (256), "
       "normalise, balance_loss (f counts slots, divided by k: 1 when balanced) and 'router_losses'. "
       "[Chi et al., On the representation collapse of sparse mixture of experts, 2022]",
       build_cosine,
       {}},
      {"remoe",
       "Gates relu(W x): the experts above zero, any number. A penalty λ·Σ f_e·mean g_e, f_e = E·count_e/(k·T) (divided by k), grows by penalty_rate a step "
       "while tokens take more than top_k on "
       "average and shrinks otherwise. "
       "Options: penalty, penalty_rate. [Wang et al., ReMoE, 2024]",
       build_remoe,
       {.fixed_count = false}},
      {"reinforce",
       "Experts drawn from softmax(W x) in training, gates 1/k; learned by REINFORCE with reward = the token's log-likelihood and a learned linear baseline. "
       "Evaluation takes the likeliest. "
       "Options: policy, value (coefficients), balance_loss (f counts slots, divided by k: 1 when balanced) and 'router_losses'. [Williams 1992; Bengio et "
       "al., Conditional computation, 2015; Clark et al. "
       "2022]",
       build_reinforce,
       {.own_rule = true}},
      {"hash",
       "Experts fixed by token id without learning; gates 1/k·scale. A control: capacity without routing. table: random; modulo (id mod E); balanced (ids by "
       "falling frequency to the rarest expert so far; "
       "frequencies, else 1/(id + 1)); multi (slot j draws from the j-th part of the experts: MultiHash over parts of a layer); given (experts_of: a list of "
       "top_k experts for each token, for example of "
       "clusters). gates = scores weighs them by learned scores, divided by their sum with normalise [DeepSeek-V4]. No auxiliary loss. Options: table, "
       "frequencies, experts_of, scale, gates, score, normalise. [Roller et al., Hash Layers, 2021]",
       build_hash,
       {.needs_ids = true, .interchangeable = false}},
      {"hash_bigram",
       "As hash, with experts drawn by the token and the one before it. Options: scale, gates, score, normalise. [Roller et al., Hash Layers, 2021]",
       build_hash_bigram,
       {.sight = RouterSight::past, .needs_ids = true, .interchangeable = false}},
      {"stable",
       "Two stages that end the wandering of tokens between experts. Until the share settle_at of the run top-k by sigmoid(W x), with a balancing loss "
       "(balance_loss 0.3; f counts slots, divided by k, P of the scores' shares: 1 when balanced), while a light router of words alone, light_width wide, "
       "learns to choose alike: imitation_loss times the mean of −ln softmax at the choices. Then every token keeps the experts that the light router gives "
       "it; "
       "gates stay sigmoid(W x), and nothing is balanced. Options: light_width, imitation_loss, settle_at, balance_loss and 'router_losses'. "
       "[Dai et al., StableMoE, 2022]",
       build_stable,
       {.needs_ids = true}},
      {"random",
       "topk with weights frozen as they were drawn: routing by content, but never learned. A control without losses. Options as topk.",
       build_random,
       {}},
  };
  return rows;
}

}  // namespace gamut
