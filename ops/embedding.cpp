#include "ops/embedding.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "kernels/elementwise.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

template <class T> void forward(Tape& tape, const Tensor& ids, const Tensor& table, double scale, const Tensor& y) {
  using P = accumulator<T>;
  const int64_t d = table.width();
  const int32_t* id = ids.data<int32_t>();
  const auto convert = kernels::from_parameter<T>().best().fn;
  for_row_blocks(tape, ids.elements(), [&](int64_t first, int64_t rows, int) {
    for (int64_t r = first; r < first + rows; ++r) {
      const P* row = table.data<P>() + id[r] * d;
      T* out = y.data<T>() + r * d;
      if (scale == 1.0) {
        convert(d, row, out);
      } else {
        for (int64_t i = 0; i < d; ++i) out[i] = T(row[i] * static_cast<P>(scale));
      }
    }
  });
}

template <class T> void backward(Tape& tape, const Tensor& ids, const Tensor& dy, double scale, const Tensor& d_table) {
  using P = accumulator<T>;
  const int64_t n = ids.elements(), v = d_table.shape()[0], d = d_table.width();
  const int32_t* id = ids.data<int32_t>();
  // Positions of each id, in order (counting sort), so that every table row has one owner.
  std::vector<int32_t> begin(static_cast<size_t>(v) + 1), place(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) ++begin[static_cast<size_t>(id[i]) + 1];
  for (size_t t = 1; t < begin.size(); ++t) begin[t] += begin[t - 1];
  std::vector<int32_t> next(begin.begin(), begin.end() - 1);
  for (int64_t i = 0; i < n; ++i) place[static_cast<size_t>(next[static_cast<size_t>(id[i])]++)] = static_cast<int32_t>(i);
  constexpr int64_t kIds = 64;
  const auto add = kernels::accumulate<T>().best().fn;
  tape.pool().parallel_for((v + kIds - 1) / kIds, [&](int64_t block, int) {
    for (int64_t t = block * kIds; t < std::min(v, (block + 1) * kIds); ++t) {
      P* sum = d_table.data<P>() + t * d;
      for (int32_t j = begin[static_cast<size_t>(t)]; j < begin[static_cast<size_t>(t) + 1]; ++j) {
        const T* row = dy.data<T>() + place[static_cast<size_t>(j)] * d;
        if (scale == 1.0) {
          add(d, row, sum);
        } else {
          for (int64_t i = 0; i < d; ++i) sum[i] += static_cast<P>(row[i]) * static_cast<P>(scale);
        }
      }
    }
  });
}

}  // namespace

Tensor embedding(Tape& tape, const Tensor& ids, const Tensor& table, DType dtype, double scale) {
  const auto timing = tape.time("embedding");
  std::vector<int64_t> dims(ids.shape().dims().begin(), ids.shape().dims().end());
  dims.push_back(table.width());
  Tensor y = tape.output(Shape(dims), dtype, {table});
  tape.count("embedding", {.bytes = 2 * static_cast<double>(y.bytes())});
  if (tape.runs()) with_float_type(dtype, [&]<class T>() { forward<T>(tape, ids, table, scale, y); });
  if (y.needs_grad())
    tape.record("embedding", [ids, table, scale, dy = y.grad()](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      const Tensor d_table = t.sum_slot(table.grad());
      t.count("embedding", {.other_flops = static_cast<double>(g.elements()), .bytes = 3 * static_cast<double>(g.bytes())});
      if (t.runs()) with_float_type(g.dtype(), [&]<class T>() { backward<T>(t, ids, g, scale, d_table); });
    });
  return y;
}

}  // namespace gamut::ops
