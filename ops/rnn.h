// Recurrent networks: the product of the state and the gates, step by step, rows of the batch together.
#pragma once

#include "kernels/cell.h"
#include "ops/linear.h"

namespace gamut::ops {

struct Rnn {
  kernels::Cell cell = kernels::Cell::lstm;
  Tensor input;            // [B, T, G·H]: W·x + b of every token; G gates (kernels/cell.h)
  LinearWeight recurrent;  // U [G·H, H] and, where there is one, b' [G·H]
};
// What remains between calls; both are read and then hold what the last token left. They take no gradient.
struct RnnState {
  Tensor h;  // [B, H] like input
  Tensor c;  // [B, H] f32 (f64); lstm alone
};

// h of every token, [B, T, H] like input; starts from `state`, or from zeros. For gradients the gates and, but for tanh, one more
// number a unit are kept in f32 (f64).
Tensor rnn(Tape& tape, const Rnn& in, const RnnState& state = {});

}  // namespace gamut::ops
