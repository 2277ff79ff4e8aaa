#include "ops/slots.h"

#include <vector>

#include "base/error.h"
#include "kernels/elementwise.h"
#include "ops/reduce.h"

namespace gamut::ops {

Tensor weighted_copies(Tape& tape, const Tensor& x, const Tensor& weight) {
  const auto timing = tape.time("dispatch");
  const int64_t n = x.rows(), d = x.width(), k = weight.width();
  if (weight.rows() != n) throw Error({.who = "weighted_copies", .what = "x " + x.shape().text() + " and weights " + weight.shape().text() + " do not fit"});
  const Tensor rows = tape.output({n * k, d}, x.dtype(), {x, weight});
  const Cost cost{.other_flops = static_cast<double>(rows.elements()), .bytes = static_cast<double>(x.bytes() + rows.bytes())};
  tape.count("dispatch", cost);
  if (tape.runs())
    with_float_type(x.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      for_row_blocks(tape, n * k, [&](int64_t first, int64_t count, int) {
        for (int64_t r = first; r < first + count; ++r)
          for (int64_t c = 0; c < d; ++c) rows.data<T>()[r * d + c] = static_cast<T>(weight.data<P>()[r] * static_cast<P>(x.data<T>()[r / k * d + c]));
      });
    });
  if (!rows.needs_grad()) return rows;
  tape.record("dispatch", [=, d_rows_cell = rows.grad()](Tape& t) {
    const Tensor g = d_rows_cell->take();
    if (!g) return;
    t.count("dispatch", {.other_flops = 4 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor dx = x.needs_grad() ? t.empty(x.shape(), x.dtype()) : Tensor(), dw = weight.needs_grad() ? t.empty(weight.shape(), weight.dtype()) : Tensor();
    if (t.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        using P = accumulator<T>;
        for_row_blocks(t, n, [&](int64_t first, int64_t count, int) {
          for (int64_t r = first; r < first + count; ++r) {
            if (dx)
              for (int64_t c = 0; c < d; ++c) {
                P sum = 0;
                for (int64_t j = r * k; j < (r + 1) * k; ++j) sum += weight.data<P>()[j] * static_cast<P>(g.data<T>()[j * d + c]);
                dx.data<T>()[r * d + c] = static_cast<T>(sum);
              }
            for (int64_t j = r * k; dw && j < (r + 1) * k; ++j) {
              P sum = 0;
              for (int64_t c = 0; c < d; ++c) sum += static_cast<P>(x.data<T>()[r * d + c]) * static_cast<P>(g.data<T>()[j * d + c]);
              dw.data<P>()[j] = sum;
            }
          }
        });
      });
    if (dx) t.give(x.grad(), dx);
    if (dw) t.give(weight.grad(), dw);
  });
  return rows;
}

Tensor sum_of_copies(Tape& tape, const Tensor& rows, int64_t k, const Shape& like) {
  const auto timing = tape.time("dispatch");
  const int64_t n = like.rows(), d = like.width();
  if (rows.shape() != Shape{n * k, d})
    throw Error({.who = "sum_of_copies", .what = "rows " + rows.shape().text() + " are not " + std::to_string(k) + " for each of " + like.text()});
  if (k == 1) return rows.reshape(like);
  const Tensor y = tape.output(like, rows.dtype(), {rows});
  const Cost cost{.other_flops = static_cast<double>(rows.elements()), .bytes = static_cast<double>(y.bytes() + rows.bytes())};
  tape.count("dispatch", cost);
  if (tape.runs())
    with_float_type(rows.dtype(), [&]<class T>() {
      for_row_blocks(tape, n, [&](int64_t first, int64_t count, int) {
        std::vector<const T*> parts(static_cast<size_t>(k));
        for (int64_t t = first; t < first + count; ++t) {
          for (int64_t j = 0; j < k; ++j) parts[static_cast<size_t>(j)] = rows.data<T>() + (t * k + j) * d;
          kernels::sum_rows<T>().best().fn(k, parts.data(), d, y.data<T>() + t * d);
        }
      });
    });
  if (!y.needs_grad()) return y;
  tape.record("dispatch", [=, cell = rows.grad(), dy = y.grad()](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("dispatch", cost);
    const Tensor d_rows = t.empty({n * k, d}, g.dtype());
    const size_t row_bytes = static_cast<size_t>(d) * size_of(g.dtype());
    if (t.runs())
      for_row_blocks(t, n * k, [&](int64_t first, int64_t count, int) {
        for (int64_t r = first; r < first + count; ++r)
          std::copy_n(g.raw() + static_cast<size_t>(r / k) * row_bytes, row_bytes, d_rows.raw() + static_cast<size_t>(r) * row_bytes);
      });
    t.give(cell, d_rows);
  });
  return y;
}

}  // namespace gamut::ops
