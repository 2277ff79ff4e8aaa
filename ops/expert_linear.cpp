#include "ops/expert_linear.h"

#include "base/error.h"
#include "ops/expert_rows.h"

namespace gamut::ops {

Tensor expert_linear(Tape& tape, const Tensor& x, const Tensor& index_Nk, const Tensor& w) {
  const auto timing = tape.time("expert_linear");
  if (w.shape().rank() != 3 || w.width() != x.width() || index_Nk.rows() != x.rows())
    throw Error({.who = "expert_linear",
                 .what = "x " + x.shape().text() + ", index_Nk " + index_Nk.shape().text() + " and experts " + w.shape().text() + " do not fit"});
  const int64_t k = index_Nk.width(), slots = index_Nk.elements(), m = w.shape()[1];
  const Plan plan = plan_rows(tape, {index_Nk, Tensor()}, w.shape()[0]);
  Tensor y = tape.output({slots, m}, x.dtype(), {x, w});
  const Tensor rows = gather(tape, x, plan);
  {
    const Tensor results = tape.empty({rows.rows(), m}, x.dtype());
    project(tape, plan.segments, rows, w, Side::forward, Tensor(), results);
    combine(tape, results, plan, 1, y);
  }
  const double product = 2 * static_cast<double>(rows.rows()) * static_cast<double>(m) * static_cast<double>(x.width());
  const Cost cost{.matmul_flops = product,
                  .bytes = static_cast<double>(size_of(x.dtype())) *
                           (static_cast<double>(rows.rows()) * static_cast<double>(m + x.width()) + static_cast<double>(w.elements()))};
  tape.count("expert_linear", cost);
  if (!y.needs_grad()) return y;
  tape.record("expert_linear", [=, dy_cell = y.grad()](Tape& t) {
    const Tensor dy = dy_cell->take();
    if (!dy) return;
    Plan by_slot = plan;  // one row for each slot
    by_slot.token_R = plan.slot_R;
    const Tensor d_results = gather(t, dy, by_slot);
    std::vector<kernels::GemmAtB> products;
    weight_gradient(products, t, plan.segments, d_results, rows, w);
    if (t.runs() && !products.empty()) kernels::gemm_at_b(t.pool(), products);
    t.count("expert_linear", cost);
    if (!x.needs_grad()) return;
    const Tensor d_rows = t.empty(rows.shape(), x.dtype()), dx = t.empty(x.shape(), x.dtype());
    project(t, plan.segments, d_results, w, Side::backward, Tensor(), d_rows);
    t.count("expert_linear", cost);
    combine(t, d_rows, plan, k, dx);
    t.give(x.grad(), dx);
  });
  return y;
}

}  // namespace gamut::ops
