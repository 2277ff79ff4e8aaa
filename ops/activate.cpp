#include "ops/activate.h"

#include "ops/reduce.h"

namespace gamut::ops {

Tensor activate(Tape& tape, const Tensor& x, kernels::Activation activation) {
  const auto timing = tape.time("activate");
  const int64_t h = x.width();
  const Tensor y = tape.output(x.shape(), x.dtype(), {x});
  const Cost cost{.other_flops = 20 * static_cast<double>(y.elements()), .bytes = 2 * static_cast<double>(y.bytes())};
  tape.count("activate", cost);
  if (tape.runs())
    with_float_type(x.dtype(), [&]<class T>() {
      for_row_blocks(tape, x.rows(), [&](int64_t first, int64_t rows, int) {
        kernels::gated_forward<T>().best().fn(
            {.activation = activation, .rows = rows, .h = h, .gate_NH = x.data<T>() + first * h, .up_NH = nullptr, .weight_N = nullptr, .out_NH = y.data<T>() + first * h});
      });
    });
  if (!y.needs_grad()) return y;
  tape.record("activate", [x, activation, h, cost, dy = y.grad()](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("activate", cost);
    const Tensor dx = t.empty(x.shape(), x.dtype());
    if (t.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        for_row_blocks(t, x.rows(), [&](int64_t first, int64_t rows, int) {
          kernels::gated_backward<T>().best().fn({.activation = activation, .rows = rows, .h = h, .gate_NH = x.data<T>() + first * h, .up_NH = nullptr, .weight_N = nullptr,
                                                  .d_out_NH = g.data<T>() + first * h, .d_gate_NH = dx.data<T>() + first * h, .d_up_NH = nullptr, .d_weight_N = nullptr, .out_NH = nullptr});
        });
      });
    t.give(x.grad(), dx);
  });
  return y;
}

}  // namespace gamut::ops
