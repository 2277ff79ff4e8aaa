// Tensors of numbers that nothing trains.
#pragma once

#include <algorithm>
#include <span>

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
// [values] in their order.
inline Tensor constant(Tape& tape, std::span<const double> values, DType dtype) {
  const Tensor t = tape.empty({static_cast<int64_t>(values.size())}, dtype);
  if (!tape.runs()) return t;
  if (dtype == DType::f64) std::copy(values.begin(), values.end(), t.data<double>());
  else std::transform(values.begin(), values.end(), t.data<float>(), [](double x) { return static_cast<float>(x); });
  return t;
}

}  // namespace gamut::ops
