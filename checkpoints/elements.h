// Numbers of tensors as they lie in files: of any type, at any alignment.
#pragma once

#include "checkpoints/tensor_file.h"

namespace gamut {

bool is_float(DType type);  // f32, f64, bf16 or f16

// Elements `first` … `first`+`count`−1 as float or double; integers and packed blocks too.
template <class P> void read_elements(const TensorView& from, int64_t first, int64_t count, P* to);

// Where two tensors of equal shape differ most. Types may differ; values are compared as double, NaN equals NaN.
struct Difference {
  int64_t unequal = 0;   // elements that differ by more than tolerance·max(|a|, |b|)
  int64_t index = 0;     // of the largest difference among them, row-major
  double largest = 0, a = 0, b = 0;
};
Difference compare_elements(const TensorView& a, const TensorView& b, double tolerance);

}  // namespace gamut
