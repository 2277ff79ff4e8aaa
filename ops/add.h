// Sum of two tensors.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// a + b, same shape and type.
Tensor add(Tape& tape, const Tensor& a, const Tensor& b);

}  // namespace gamut::ops
