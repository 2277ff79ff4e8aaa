#include "ops/gate.h"

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {

Tensor gate(Tape& tape, kernels::Activation activation, const Tensor& gate, const Tensor& x) {
  const auto timing = tape.time("gate");
  if (gate.elements() != x.elements() || gate.dtype() != x.dtype()) throw Error({.who = "gate", .what = gate.shape().text() + " and " + x.shape().text() + " differ"});
  const Tensor y = tape.output(x.shape(), x.dtype(), {gate, x});
  const int64_t d = x.width();
  const Cost cost{.other_flops = 8 * static_cast<double>(x.elements()), .bytes = 3 * static_cast<double>(x.bytes())};
  tape.count("gate", cost);
  if (tape.runs())
    with_float_type(x.dtype(), [&]<class T>() {
      for_row_blocks(tape, x.rows(), [&](int64_t first, int64_t rows, int) {
        const int64_t at = first * d;
        kernels::gated_forward<T>().best().fn({.activation = activation, .rows = rows, .h = d, .gate_NH = gate.data<T>() + at, .up_NH = x.data<T>() + at, .weight_N = nullptr, .out_NH = y.data<T>() + at});
      });
    });
  if (y.needs_grad())
    tape.record("gate", [=, dy = y.grad()](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      t.count("gate", {.other_flops = 2 * cost.other_flops, .bytes = 2 * cost.bytes});
      const Tensor d_gate = t.empty(gate.shape(), gate.dtype()), dx = t.empty(x.shape(), x.dtype());
      if (t.runs())
        with_float_type(x.dtype(), [&]<class T>() {
          for_row_blocks(t, x.rows(), [&](int64_t first, int64_t rows, int) {
            const int64_t at = first * d;
            kernels::gated_backward<T>().best().fn({.activation = activation, .rows = rows, .h = d, .gate_NH = gate.data<T>() + at, .up_NH = x.data<T>() + at, .weight_N = nullptr,
                .d_out_NH = g.data<T>() + at, .d_gate_NH = d_gate.data<T>() + at, .d_up_NH = dx.data<T>() + at, .d_weight_N = nullptr, .out_NH = nullptr});
          });
        });
      t.give(gate.grad(), d_gate);
      t.give(x.grad(), dx);
    });
  return y;
}

}  // namespace gamut::ops
