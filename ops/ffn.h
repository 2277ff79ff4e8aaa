// Feed-forward layers, dense or as a mixture of experts: the same code over one segment of rows or one per expert.
#pragma once

#include "core/tape.h"
#include "kernels/activation.h"

namespace gamut::ops {

// Dense: gate, up [H, D], down [D, H]. Experts: [E, H, D] and [E, D, H].
struct FfnWeights {
  kernels::Activation activation = kernels::Activation::silu;
  double limit = 0, up_shift = 0;  // cuts and shift of the gated product (kernels/activation.h)
  Tensor gate = {};  // first projection; the one that passes the activation
  Tensor up = {};    // ? gated: act(x·gateᵀ)∘(x·upᵀ + up_shift)
  Tensor down = {};
  Tensor gate_bias = {}, up_bias = {}, down_bias = {};  // ? [H], [D]; experts: [E, H], [E, D]
};

// y = down(act(gate x)[∘ up x]) [Shazeer, GLU variants, 2020]. x [..., D]; result like x. Keeps x, gate x and up x;
// the product is made again for the gradient.
Tensor ffn(Tape& tape, const Tensor& x, const FfnWeights& weights);

// Which experts take which token: index_Nk int32 in 0 … E−1, or −1 where none does; weight_Nk f32 (f64).
struct Dispatch {
  Tensor index_Nk, weight_Nk;
  int64_t most_rows = 0;  // slots that are not −1, at most; 0: all. Shapes alone count with it
};

// y[t] = Σ_j weight[t,j] · FFN_{index[t,j]}(x[t]), summed in slot order: the same bits for any number of threads and
// any neighbours in the batch. Rows are sorted by expert (stable) and all experts' products run in one
// loop, following "MegaBlocks" [Gale et al., 2022] without padding. The weight multiplies the activation before `down`.
// With one expert and weight 1 the result equals ffn bit for bit. An expert without rows gets a zero gradient.
Tensor moe(Tape& tape, const Tensor& x, const Dispatch& dispatch, const FfnWeights& experts);

}  // namespace gamut::ops
