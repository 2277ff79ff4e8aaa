#include "ops/map.h"

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

constexpr int64_t kDual = 20;  // operations an element costs, roughly

template <class T>
kernels::MapForward<T> rows_of(kernels::Formula formula, const std::vector<Tensor>& full, const std::vector<Tensor>& vectors, double c0, double c1, int64_t first, int64_t rows) {
  using P = accumulator<T>;
  const int64_t d = full[0].width();
  kernels::MapForward<T> a{.formula = formula, .c0 = static_cast<P>(c0), .c1 = static_cast<P>(c1), .rows = rows, .d = d, .in_ND = {}, .vector_D = {}, .out_ND = nullptr};
  for (size_t k = 0; k < full.size(); ++k) a.in_ND[k] = full[k].data<T>() + first * d;
  for (size_t k = 0; k < vectors.size(); ++k) a.vector_D[k] = vectors[k].data<P>();
  return a;
}

}  // namespace

Tensor map(Tape& tape, kernels::Formula formula, std::initializer_list<Tensor> full_list, std::initializer_list<Tensor> vector_list, double c0, double c1) {
  const auto timing = tape.time("map");
  const std::vector<Tensor> full(full_list), vectors(vector_list);
  const kernels::FormulaInputs wanted = kernels::inputs_of(formula);
  assert(static_cast<int>(full.size()) == wanted.full && static_cast<int>(vectors.size()) == wanted.vectors);
  (void)wanted;
  const int64_t d = full[0].width();
  for (const Tensor& t : full)
    if (t.shape() != full[0].shape() || t.dtype() != full[0].dtype()) throw Error({.who = "map", .what = full[0].shape().text() + " and " + t.shape().text() + " differ"});
  for (const Tensor& t : vectors)
    if (t.elements() != d) throw Error({.who = "map", .what = "a vector " + t.shape().text() + " does not fit rows " + full[0].shape().text()});
  std::vector<Tensor> inputs = full;
  inputs.insert(inputs.end(), vectors.begin(), vectors.end());
  const Tensor y = tape.output(full[0].shape(), full[0].dtype(), std::span<const Tensor>(inputs));
  const Cost cost{.other_flops = static_cast<double>(kDual * y.elements()), .bytes = static_cast<double>((full.size() + 1) * y.bytes())};
  tape.count("map", cost);
  if (tape.runs())
    with_float_type(y.dtype(), [&]<class T>() {
      for_row_blocks(tape, y.rows(), [&](int64_t first, int64_t rows, int) {
        kernels::MapForward<T> a = rows_of<T>(formula, full, vectors, c0, c1, first, rows);
        a.out_ND = y.data<T>() + first * d;
        kernels::map_forward<T>().best().fn(a);
      });
    });
  if (!y.needs_grad()) return y;
  tape.record("map", [=, dy = y.grad()](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("map", {.other_flops = 2 * cost.other_flops, .bytes = 2 * cost.bytes});
    std::vector<Tensor> d_full(full.size()), sums;
    std::vector<size_t> which;
    for (size_t k = 0; k < full.size(); ++k)
      if (full[k].needs_grad()) d_full[k] = t.empty(full[k].shape(), full[k].dtype());
    for (size_t k = 0; k < vectors.size(); ++k)
      if (const Tensor sum = t.sum_slot(vectors[k].grad())) {
        sums.push_back(sum);
        which.push_back(k);
      }
    with_float_type(g.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      sum_over_rows<P>(t, g.rows(), sums, [&](int64_t first, int64_t rows, P* const* partial) {
        kernels::MapBackward<T> b{.forward = rows_of<T>(formula, full, vectors, c0, c1, first, rows), .d_out_ND = g.data<T>() + first * d, .d_in_ND = {}, .d_vector_D = {}};
        for (size_t k = 0; k < full.size(); ++k) b.d_in_ND[k] = d_full[k] ? d_full[k].data<T>() + first * d : nullptr;
        for (size_t k = 0; k < which.size(); ++k) b.d_vector_D[which[k]] = partial[k];
        kernels::map_backward<T>().best().fn(b);
      });
    });
    for (size_t k = 0; k < full.size(); ++k) t.give(full[k].grad(), d_full[k]);
  });
  return y;
}

}  // namespace gamut::ops
