// Router logits to experts and gate weights. Losses on them: ops/balance.h.
#pragma once

#include "base/rng.h"
#include "core/tape.h"
#include "kernels/router.h"

namespace gamut::ops {

// x·Wᵀ [+ b] as [N, E] in the parameters' type, f32 (f64): near-tied experts flip under bf16 products. x [..., D] of any type;
// w_ED, bias_E ? parameters. `rounded`: the product takes bf16 and gives bf16, as models do that route in bf16 (f32 parameters only).
Tensor router_logits(Tape& tape, const Tensor& x, const Tensor& w_ED, const Tensor& bias_E, bool rounded = false);

// The fields are those of kernels::Route.
struct SelectOptions {
  kernels::RouterScore score = kernels::RouterScore::softmax;
  kernels::GateNorm norm = kernels::GateNorm::selected;
  double scale = 1, power = 1, epsilon = 1e-20, floor = 0;
  int64_t k = 2;
  int64_t groups = 1, kept_groups = 1, group_best = 1;
  bool zero_outside = false;
};

struct Routing {
  Tensor index_Nk;            // int32; −1: a slot that no expert takes
  Tensor weight_Nk;           // f32 (f64)
  Tensor load_E;              // int32: slots each expert was chosen for, before any are dropped
  Tensor scores_NE;           // f32 (f64), with a gradient cell in training; null when nothing is scored
  Tensor logits_NE;           // f32 (f64); null when nothing is scored
  double balance = 0, z = 0;  // the losses' values without coefficient
  int64_t most_rows = 0;      // slots that are not −1, at most; 0: all (ops::Dispatch)
};

// logits_NE f32 (f64); bias_E ? (selection only, no gradient). A row's numbers do not depend on the other rows.
// chosen_Nk: ? int32, experts chosen elsewhere (each in 0 … E−1, a row's distinct): their scores and weights alone are made.
// Error when k is not in 1 … E or the groups do not fit.
Routing select(Tape& tape, const Tensor& logits_NE, const Tensor& bias_E, const SelectOptions& options, const Tensor& chosen_Nk = Tensor());

// x∘u, u uniform in 1−ε … 1+ε, drawn from the stream at place first + element [Fedus et al. 2021].
Tensor jitter(Tape& tape, const Tensor& x, double epsilon, const RandomStream& stream, uint64_t first);

// int32 [E]: how often each expert occurs.
Tensor count_experts(Tape& tape, const Tensor& index_Nk, int64_t experts);

}  // namespace gamut::ops
