// One tensor gating another.
#pragma once

#include "core/tape.h"
#include "kernels/activation.h"

namespace gamut::ops {

// act(gate)∘x, elementwise; shapes and types alike. Keeps both for the gradient.
Tensor gate(Tape& tape, kernels::Activation activation, const Tensor& gate, const Tensor& x);

}  // namespace gamut::ops
