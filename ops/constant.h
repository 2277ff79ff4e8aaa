// Tensors of one number.
#pragma once

#include <algorithm>

#include "core/tape.h"

namespace gamut::ops {

// f32 or f64, without a gradient.
inline Tensor constant(Tape& tape, Shape shape, DType dtype, double value) {
  const Tensor t = tape.empty(shape, dtype);
  if (!tape.runs()) return t;
  if (dtype == DType::f64) std::fill_n(t.data<double>(), t.elements(), value);
  else std::fill_n(t.data<float>(), t.elements(), static_cast<float>(value));
  return t;
}

}  // namespace gamut::ops
