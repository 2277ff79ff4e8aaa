// Some rows of a tensor.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// x [..., D], index_R int32 in 0 … rows−1; result [R, D] in the type of x. The gradient adds up where an index repeats, in the
// order of the index.
Tensor rows(Tape& tape, const Tensor& x, const Tensor& index_R);

}  // namespace gamut::ops
