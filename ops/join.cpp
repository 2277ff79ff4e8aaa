#include "ops/join.h"

#include <cstring>
#include <vector>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

// Columns [from, from + width of part) of each of `heads` heads of `whole`, and the part's rows, of as many heads or one.
struct Columns {
  int64_t heads, from, width, of;  // `of`: width of the whole
};

template <class T> void put(const T* part, T* whole, const Columns& c, bool single) {
  for (int64_t h = 0; h < c.heads; ++h) std::memcpy(whole + h * c.of + c.from, part + (single ? 0 : h * c.width), static_cast<size_t>(c.width) * sizeof(T));
}
template <class T> void take(const T* whole, T* part, const Columns& c, bool single) {
  using P = accumulator<T>;
  if (!single) {
    for (int64_t h = 0; h < c.heads; ++h) std::memcpy(part + h * c.width, whole + h * c.of + c.from, static_cast<size_t>(c.width) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < c.width; ++i) {
    P sum = 0;
    for (int64_t h = 0; h < c.heads; ++h) sum += static_cast<P>(whole[h * c.of + c.from + i]);
    part[i] = T(sum);
  }
}

}  // namespace

Tensor join_heads(Tape& tape, const Tensor& a, const Tensor& b) {
  const auto timing = tape.time("join");
  const Shape &as = a.shape(), &bs = b.shape();
  const int64_t heads = std::max(as[-2], bs[-2]), rows = a.rows() / as[-2];
  if (as.rank() != 4 || bs.rank() != 4 || a.dtype() != b.dtype() || b.rows() / bs[-2] != rows || (as[-2] != heads && as[-2] != 1) ||
      (bs[-2] != heads && bs[-2] != 1))
    throw Error({.who = "join_heads", .what = "a " + as.text() + " and b " + bs.text() + " do not fit"});
  const int64_t whole = a.width() + b.width();
  const Tensor y = tape.output({as[0], as[1], heads, whole}, a.dtype(), {a, b});
  const Cost cost{.bytes = 2 * static_cast<double>(y.bytes())};
  tape.count("join", cost);
  const Columns left{heads, 0, a.width(), whole}, right{heads, a.width(), b.width(), whole};
  if (tape.runs())
    with_float_type(a.dtype(), [&]<class T>() {
      for_row_blocks(tape, rows, [&](int64_t first, int64_t count, int) {
        for (int64_t r = first; r < first + count; ++r) {
          T* row = y.data<T>() + r * heads * whole;
          put(a.data<T>() + r * a.shape()[2] * left.width, row, left, a.shape()[2] == 1);
          put(b.data<T>() + r * b.shape()[2] * right.width, row, right, b.shape()[2] == 1);
        }
      });
    });
  if (y.needs_grad())
    tape.record("join", [rows, left, right, a_shape = as, b_shape = bs, da = a.grad(), db = b.grad(), dy = y.grad(), dtype = a.dtype(), cost](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      t.count("join", cost);
      const auto give = [&](const GradRef& cell, const Shape& shape, const Columns& c) {
        if (!cell) return;
        const Tensor part = t.empty(shape, dtype);
        if (t.runs())
          with_float_type(dtype, [&]<class T>() {
            for_row_blocks(t, rows, [&](int64_t first, int64_t count, int) {
              for (int64_t r = first; r < first + count; ++r) take(g.data<T>() + r * c.heads * c.of, part.data<T>() + r * shape[2] * c.width, c, shape[2] == 1);
            });
          });
        t.give(cell, part);
      };
      give(da, a_shape, left);
      give(db, b_shape, right);
    });
  return y;
}

}  // namespace gamut::ops
