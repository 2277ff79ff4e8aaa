// An activation on its own.
#pragma once

#include "core/tape.h"
#include "kernels/activation.h"

namespace gamut::ops {

// act(x), shape and type of x.
Tensor activate(Tape& tape, const Tensor& x, kernels::Activation activation);

}  // namespace gamut::ops
