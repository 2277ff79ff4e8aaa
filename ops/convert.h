// Elements in another type.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// x with elements of `dtype`, rounded to nearest; x itself when that is its type. Between bf16 and f32; no gradient.
Tensor converted(Tape& tape, const Tensor& x, DType dtype);

}  // namespace gamut::ops
