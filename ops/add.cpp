#include "ops/add.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "ops/reduce.h"

namespace gamut::ops {

Tensor add(Tape& tape, const Tensor& a, const Tensor& b) {
  const auto timing = tape.time("add");
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) throw Error({.who = "add", .what = a.shape().text() + " and " + b.shape().text() + " differ"});
  Tensor y = tape.output(a.shape(), a.dtype(), {a, b});
  tape.count("add", {.other_flops = static_cast<double>(a.elements()), .bytes = 3 * static_cast<double>(a.bytes())});
  const int64_t d = a.width();
  if (tape.runs())
    with_float_type(a.dtype(), [&]<class T>() {
      for_row_blocks(tape, a.rows(), [&](int64_t first, int64_t rows, int) {
        kernels::add<T>().best().fn(rows * d, a.data<T>() + first * d, b.data<T>() + first * d, y.data<T>() + first * d);
      });
    });
  if (y.needs_grad())
    tape.record("add", [da = a.grad(), db = b.grad(), dy = y.grad()](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      t.give(da, g);
      t.give(db, g);
    });
  return y;
}

}  // namespace gamut::ops
