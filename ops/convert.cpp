#include "ops/convert.h"

#include "kernels/elementwise.h"
#include "ops/reduce.h"

namespace gamut::ops {

Tensor converted(Tape& tape, const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  assert((x.dtype() == DType::bf16 && dtype == DType::f32) || (x.dtype() == DType::f32 && dtype == DType::bf16));
  const Tensor y = tape.empty(x.shape(), dtype);
  const int64_t d = x.width();
  if (tape.runs())
    for_row_blocks(tape, x.rows(), [&](int64_t first, int64_t rows, int) {
      if (dtype == DType::bf16) kernels::from_parameter<bf16>().best().fn(rows * d, x.data<float>() + first * d, y.data<bf16>() + first * d);
      else kernels::to_parameter<bf16>().best().fn(rows * d, x.data<bf16>() + first * d, y.data<float>() + first * d);
    });
  return y;
}

}  // namespace gamut::ops
