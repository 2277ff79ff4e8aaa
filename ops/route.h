// Router logits to experts and gate weights, with balancing losses.
#pragma once

#include "core/tape.h"
#include "kernels/router.h"

namespace gamut::ops {

struct RouteOptions {
  kernels::RouterScore score = kernels::RouterScore::softmax;
  kernels::GateNorm norm = kernels::GateNorm::selected;
  double scale = 1.0;
  int64_t k = 2;
  // Losses added to the tape in training, each a mean over the rows of this call times `loss_scale`.
  double balance_loss = 0;  // α·E·Σ_e f_e·P_e [Switch, Fedus et al. 2021]; f the share of the N·k slots, P the mean (normalised) score
  double z_loss = 0;        // c·mean(logsumexp(logits)²) [ST-MoE, Zoph et al. 2022]
  double loss_scale = 1;    // the micro-batch's share of the step's tokens
  bool scores_wanted = false;  // a loss over several layers will give scores_NE a gradient (then without balance_loss here)
};

struct Routing {
  Tensor index_Nk;   // int32
  Tensor weight_Nk;  // f32 (f64)
  Tensor load_E;     // int32: slots each expert was chosen for
  Tensor scores_NE;  // f32 (f64)
  Tensor logits_NE;  // f32 (f64); null when nothing is scored
  double balance = 0, z = 0;  // the losses' values without coefficient
};

// x [..., D]; w_ED f32 (f64) parameter; bias_E ? (selection only, no gradient). Logits and scores in f32 (f64).
// Error when k is not in 1 … E.
Routing route(Tape& tape, const Tensor& x, const Tensor& w_ED, const Tensor& bias_E, const RouteOptions& options);

}  // namespace gamut::ops
