#include "cli/glossary.h"

namespace gamut {

const std::vector<GlossaryEntry>& glossary() {
  static const std::vector<GlossaryEntry> rows{
      // metrics.jsonl
      {"metric", "loss", "Mean −log p of the tokens predicted in a step, in nats, before the step's update; auxiliary losses are not part of it."},
      {"metric", "auxiliary", "Sum of the losses beside prediction (balancing, z), with their coefficients: what the gradient sees besides `loss`."},
      {"metric", "gradient_norm",
       "√Σ g² over all trained parameters, before clipping. Rising steadily: the rate is too high; above optimizer.clip it is scaled down."},
      {"metric", "rate", "Learning rate of the step: optimizer.lr times the schedule's factor."},
      {"metric", "tokens", "Training tokens seen so far, repeats counted."},
      {"metric", "seconds", "Wall-clock time of a step (train) or a validation."},
      {"metric", "tokens_per_second", "Training tokens of a step divided by its seconds: forward, backward and update."},
      {"metric", "share_of_peak",
       "Arithmetic of a step's matrix products (counted) per second, divided by the highest rate measured on this machine at the start of the run. On "
       "accelerators known as MFU."},
      {"metric", "bits_per_byte",
       "Σ −log2 p of the text's tokens divided by the text's bytes in UTF-8. Comparable across tokenizers and vocabularies, unlike loss per token; lower is "
       "better."},
      {"metric", "domains", "bits_per_byte of each domain of the validation text."},
      {"metric", "routing",
       "What each mixture of experts did in the step: load, max_violation, load_entropy, dead_experts, router_entropy, logit_rms, coactivation, balance, z, "
       "dropped, drop_rate. "
       "In validation lines: load and max_violation over all validation text (global)."},
      {"metric", "load", "How often each expert was chosen: slots, k for each token."},
      {"metric", "max_violation",
       "Load of the fullest expert divided by the mean load, less 1. 0: balanced; E − 1: all tokens at one expert. [Wang et al. 2024]"},
      {"metric", "load_entropy", "Entropy of the experts' shares of the slots, divided by ln E. 1: balanced; falling to 0: collapse onto few experts."},
      {"metric", "dead_experts", "Experts with less than a tenth of the mean load in the step."},
      {"metric", "router_entropy", "Entropy of a token's scores, mean over tokens, divided by ln E. 1: undecided; 0: every token is sure."},
      {"metric", "logit_rms", "Root mean square of the router's logits. Growing without end: the router saturates, and z_loss holds it."},
      {"quantity", "coactivation_matrix",
       "`gamut routing --json`, coactivation: of the tokens that took expert i, the share that took j, too; row by row. [OLMoE, 2024]"},
      {"metric", "coactivation",
       "Tokens that the most frequent pair of experts shares, times E(E − 1)/(k(k − 1)): 1 as by balanced chance; E(E − 1)/(k(k − 1)) when all tokens take one "
       "pair."},
      {"metric", "drop_rate", "Share of the chosen slots that a capacity dropped."},
      {"setting", "router_losses",
       "Losses that routers with scores may carry beside balance_loss α·E·Σ f·P [Fedus et al. 2021], all with coefficient 0 unless said: z_loss "
       "c·mean(logsumexp²) [ST-MoE]; entropy_loss c·mean H(p), negative spreads; variance_loss −c·Σ_e Var_t(s_te), population variance, scores that differ "
       "between tokens [Guo et al. 2025]; "
       "importance_loss c·CV² of the experts' summed gates [Shazeer et al. 2017], with variance = population (÷ E) or sample (÷ E − 1) [FastMoE, Tutel]; "
       "sequence_loss, α·E·Σ f·P within each sequence, f from the k largest "
       "scores without bias, of slots (÷ k: 1 when balanced) [DeepSeek-V3]; device_loss and communication_loss over `devices` groups of experts, of which a "
       "token reaches device_reach, both 1 when balanced, of each sequence [DeepSeek-V2]. Scores that do not sum to 1 (sigmoid) are divided by their sum for "
       "P. balance_count says what f counts: slots "
       "(balanced: 1), tokens (balanced: k) [Hugging Face], first choices alone [GShard]. balance_over = step gathers f over the step's micro-batches so far, "
       "P stays the micro-batch's [Qiu et al. 2025]."},
      {"metric", "balance", "E·Σ f·P without coefficient: f the share of an expert's slots, P its mean score. 1 when balanced. [Fedus et al. 2021]"},
      {"metric", "z", "Mean of logsumexp(router logits)² without coefficient: keeps logits small. [Zoph et al., ST-MoE, 2022]"},
      {"metric", "dropped", "Slots that found their expert full and contributed 0; only with a capacity."},
      // recipes
      {"setting", "run.dir",
       "Folder of the run: recipe, metrics, TensorBoard events, checkpoints, final model. The same command continues from what it holds."},
      {"setting", "run.seed",
       "Seed of all random streams: initial weights, data order, dropout. Same seed and instruction tier: same bits for any number of threads."},
      {"setting", "data.recipe", "Name of a built-in corpus made from Debian packages; `tiny` has three domains."},
      {"setting", "data.path", "Folder of your own text instead: .txt, .md, .jsonl with a key `text`; subfolders are domains."},
      {"setting", "data.vocab_size", "Tokens of the byte-level BPE tokenizer trained on the corpus."},
      {"setting", "data.tokenizer", "Folder or tokenizer.json to use instead of training one."},
      {"setting", "data.cache", "Where prepared corpora are kept; empty: the user's cache folder."},
      {"setting", "train.length", "Tokens of a training row."},
      {"setting", "train.batch_tokens", "Tokens of an optimizer step; a multiple of train.length."},
      {"setting", "train.micro_tokens", "Tokens run at a time; gradients accumulate over a step. Less memory, same result but for rounding."},
      {"setting", "train.tokens", "Length of the run: it ends at the first step that reaches it."},
      {"setting", "routing.record",
       "Folder to write: the experts that routers chose in each step, step-N.safetensors. What a capacity drops of them follows from the same seed."},
      {"setting", "routing.replay",
       "Folder of such a record: its choices are enforced, step by step, instead of the routers' own; gates still come from the scores."},
      {"setting", "optimizer.kind", "adamw: w ← w − lr·(m̂/(√v̂ + ε) + λ·w). [Loshchilov & Hutter 2019]"},
      {"setting", "optimizer.lr", "Highest learning rate; the schedule multiplies it."},
      {"setting", "optimizer.beta1", "Decay of the mean of gradients."},
      {"setting", "optimizer.beta2", "Decay of the mean of squared gradients."},
      {"setting", "optimizer.eps", "Added to the root of the second moment."},
      {"setting", "optimizer.weight_decay", "λ of AdamW for matrices, embedding, head and router; norms and biases are not decayed."},
      {"setting", "optimizer.train",
       "all; experts: the routed experts alone; mixtures: experts and routers; non_experts: all but the experts. The rest keeps its weights and has no "
       "gradients or moments. [Zoph et al., ST-MoE, 2022]"},
      {"setting", "optimizer.clip", "Largest gradient_norm; a larger gradient is scaled down to it. 0: never."},
      {"setting", "optimizer.group",
       "Per role (matrix, embedding, head, router, norm, bias), and for `expert`, all weights of routed experts: lr_scale, weight_decay and frozen of its own. "
       "A frozen router's selection bias stays, too."},
      {"setting", "schedule.kind", "constant, linear, cosine, or wsd: warm-up, stable, decay by 1 − √progress. [Hägele et al. 2024]"},
      {"setting", "schedule.warmup", "Share of the tokens over which the rate rises from 0."},
      {"setting", "schedule.floor", "Lowest rate, at the end, as a share of the highest."},
      {"setting", "schedule.decay", "wsd: share of the tokens over which the rate falls."},
      {"setting", "validation.points", "How many validations, spaced evenly in the logarithm of steps."},
      {"setting", "validation.bytes", "Text of each domain read at a validation point; at the end all of it is read."},
      {"setting", "checkpoint.seconds", "At least this long between checkpoints; 0: after every step."},
      {"setting", "checkpoint.steps", "Also a checkpoint every so many steps; 0: by time alone."},
      {"setting", "checkpoint.keep", "How many checkpoints remain."},
      // inspect and reports
      {"quantity", "parameters", "Elements of all trained tensors; buffers such as selection biases are left out."},
      {"quantity", "active_parameters", "Parameters one token uses: k of E experts, embedding rows left out, the head included."},
      {"quantity", "active_matrix", "Active parameters in matrices: each costs a token 2 FLOP forward and 4 backward."},
      {"quantity", "granularity",
       "4·width divided by the hidden units of one expert: into how many experts a usual feed-forward layer is cut. [Krajewski et al., Scaling laws for "
       "fine-grained mixture of experts, 2024]"},
      {"quantity", "activation_ratio", "Share of a mixture's hidden units that a token uses: (top_k experts + shared) / (all experts + shared)."},
      {"quantity", "specialisation",
       "`gamut routing`: I(label; expert) of a slot in bits, label = domain or token id, corrected for small counts (Miller–Madow), beside what chance gives: "
       "the same with labels shuffled among tokens (mean and 95th percentile). domain_given_token is what is left of a domain's when its vocabulary is "
       "accounted for: labels are shuffled among tokens of one id."},
      {"quantity", "saturation",
       "`gamut routing --against`: of a token's experts, the share it took already in the earlier state; 1 when routing is settled. [Muennighoff et al., "
       "OLMoE, 2024]"},
      {"quantity", "state",
       "What a text needs in memory while it is generated: keys and values for attention (grows with the text), a fixed state for recurrent mixers."},
  };
  return rows;
}

}  // namespace gamut
