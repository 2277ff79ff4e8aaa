#include "ops/rows.h"

#include <cstring>

namespace gamut::ops {

Tensor rows(Tape& tape, const Tensor& x, const Tensor& index) {
  const auto timing = tape.time("rows");
  const int64_t n = index.elements(), d = x.width();
  const Tensor y = tape.output({n, d}, x.dtype(), {x});
  tape.count("rows", {.bytes = 2 * static_cast<double>(y.bytes())});
  if (tape.runs())
    with_float_type(x.dtype(), [&]<class T>() {
      for (int64_t i = 0; i < n; ++i)
        std::memcpy(y.data<T>() + i * d, x.data<T>() + index.data<int32_t>()[i] * d, static_cast<size_t>(d) * sizeof(T));
    });
  if (!y.needs_grad()) return y;
  tape.record("rows", [x, index, n, d, dy = y.grad()](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("rows", {.other_flops = static_cast<double>(g.elements()), .bytes = static_cast<double>(x.bytes() + 2 * g.bytes())});
    const Tensor dx = t.zeros(x.shape(), x.dtype());
    if (t.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        for (int64_t i = 0; i < n; ++i) {
          T* to = dx.data<T>() + index.data<int32_t>()[i] * d;
          for (int64_t c = 0; c < d; ++c) to[c] = T(static_cast<accumulator<T>>(to[c]) + static_cast<accumulator<T>>(g.data<T>()[i * d + c]));
        }
      });
    t.give(x.grad(), dx);
  });
  return y;
}

}  // namespace gamut::ops
