// Losses on what routers decide. Each is added to the tape in training and returns its value without coefficient.
//
// f is a count and has no gradient; it flows through P, the mean score (sigmoid scores divided by their row's sum).
#pragma once

#include <span>
#include <vector>

#include "core/tape.h"
#include "ops/route.h"

namespace gamut::ops {

// What f counts: of the N·k slots (balanced: 1) [Megatron], of the N tokens (balanced: k) [Hugging Face, flaxformer], or first
// choices alone, of the N tokens (balanced: 1) [GShard; Switch].
enum class BalanceCount : uint8_t { slots, tokens, first };
// What shall be balanced: experts; devices, each with its experts' load; or devices by the tokens sent to them [DeepSeek-V2, 2024].
enum class BalanceLevel : uint8_t { expert, device, communication };

struct BalanceOptions {
  BalanceCount count = BalanceCount::slots;
  BalanceLevel level = BalanceLevel::expert;
  int64_t devices = 1, reach = 1;     // of level device, communication: neighbouring experts share one of `devices`; a token reaches `reach`
  int64_t sequence = 0;               // > 0: rows of one sequence; f and P of each sequence alone, the loss is their mean [DeepSeek-V2, V3]
  bool unbiased = false;              // f from the k largest scores, without selection bias and groups [DeepSeek-V3, 2024]
  bool unnormalised = false;          // scores of a row do not sum to 1, as sigmoids: P is of their shares s/Σs
  const Tensor* counted_N = nullptr;  // ? u8: rows that count (padding does not)
  // ? Slots per expert, then all of them, gathered over the micro-batches of a step; this call's are added first, and f is theirs
  // [Qiu et al., Demons in the detail, 2025].
  std::vector<int64_t>* gathered = nullptr;
};
// coefficient·E·Σ_e f_e·P_e, or at another level coefficient·Σ_i f_i·Σ_{e of i} P_e with f balanced at 1.
// [Fedus et al. 2021; Lepikhin et al. 2020; Dai et al., DeepSeekMoE, 2024]
double balance_loss(Tape& tape, const Routing& routing, double coefficient, const BalanceOptions& options = {});

// coefficient·mean(logsumexp(logits)²) [ST-MoE, Zoph et al. 2022].
double z_loss(Tape& tape, const Tensor& logits_NE, double coefficient);

// coefficient·mean over rows of −Σ p ln p, p the (normalised) scores: positive coefficients make routing decided, negative ones spread it.
double entropy_loss(Tape& tape, const Routing& routing, double coefficient, bool unnormalised = false);

// −coefficient·Σ_e mean_t (s_te − s̄_e)²: scores that differ between tokens [Guo et al., Advancing expert specialization, 2025]. The value is the sum.
double variance_loss(Tape& tape, const Routing& routing, double coefficient);

// coefficient·Σ_ij |w_i·w_j − δ_ij| of a router's rows w [E, D]: orthonormal rows keep similar tokens together [Omi et al., Similarity preserving routers,
// 2025].
double orthogonality_loss(Tape& tape, const Tensor& w_ED, double coefficient);

// coefficient·mean over tokens of Σ_{j≠l} cos²(o_j, o_l)/(k(k − 1)) of what a token's k experts give: experts that say the same are told apart. outputs
// [N·k, D] of any float type, a token's rows one after another; rows of zeros (slots without an expert) are orthogonal to all. The value is the mean.
// [after Guo et al., Advancing expert specialization, 2025, whose projections depend on the outputs' lengths]
double output_orthogonality_loss(Tape& tape, const Tensor& outputs, int64_t k, double coefficient);

// coefficient·Var/(mean² + 1e-10) of the experts' summed gates [Shazeer et al. 2017]: population variance, or with `sample` divided by
// E−1 [FastMoE, Tutel].
double importance_loss(Tape& tape, const Routing& routing, double coefficient, bool sample = false);

// Of scores [N, E]: mean over rows of −Σ p ln p, p = s/Σs; of any rows: the mean of their squares. No gradient.
double mean_entropy(Tape& tape, const Tensor& scores_NE);
double mean_square(Tape& tape, const Tensor& x_NE);

// Value and slope of CV² = Var/(mean² + 1e-10).
struct SquaredVariation {
  double value;
  std::vector<double> slope;
};
SquaredVariation squared_variation(std::span<const double> values, bool sample);

// What one layer's router decided: scores f32 (f64) with a gradient cell in training, choices int32.
struct LayerScores {
  Tensor scores_NE, index_Nk;
};

// coefficient·E·Σ_e f_e·P_e, where f (share of the slots) and P (mean score) are pooled over the rows of all layers before they are
// multiplied, so that one layer's imbalance may cancel another's. Times k this is Mixtral's load_balancing_loss_func in Hugging
// Face transformers. counted_N: ? u8, rows that count (padding does not); all layers share it. All layers must have equal shapes.
double pooled_balance(Tape& tape, std::span<const LayerScores> layers, const Tensor& counted_N, double coefficient);

}  // namespace gamut::ops
