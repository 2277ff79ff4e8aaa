#include "ops/route.h"

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/packed_weight.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

template <class P>
kernels::Route<P> rows_of(const SelectOptions& o, const Tensor& logits, const Tensor& bias, const Routing& r, bool chosen, int64_t first, int64_t rows) {
  const int64_t e = logits.width();
  return {.score = o.score,
          .norm = o.norm,
          .scale = static_cast<P>(o.scale),
          .power = static_cast<P>(o.power),
          .epsilon = static_cast<P>(o.epsilon),
          .floor = static_cast<P>(o.floor),
          .groups = o.groups,
          .kept_groups = o.kept_groups,
          .group_best = o.group_best,
          .zero_outside = o.zero_outside,
          .chosen = chosen,
          .rows = rows,
          .experts = e,
          .k = o.k,
          .logits_NE = logits.data<P>() + first * e,
          .bias_E = bias ? bias.data<P>() : nullptr,
          .scores_NE = r.scores_NE.data<P>() + first * e,
          .index_Nk = r.index_Nk.data<int32_t>() + first * o.k,
          .weight_Nk = r.weight_Nk.data<P>() + first * o.k};
}

}  // namespace

Tensor router_logits(Tape& tape, const Tensor& x, const Tensor& w, const Tensor& bias, bool rounded) {
  const auto timing = tape.time("router");
  const int64_t n = x.rows(), d = x.width(), e = w.shape()[0];
  const DType p = w.dtype(), taken = rounded && p == DType::f32 ? DType::bf16 : p;
  const Tensor logits = tape.output({n, e}, p, {x, w, bias});
  const double products = 2.0 * static_cast<double>(n * d * e);
  tape.count("router", {.matmul_flops = products, .bytes = static_cast<double>(x.bytes() + w.bytes() + logits.bytes())});
  {
    const Tensor given = taken == p ? logits : tape.empty({n, e}, taken), in = converted(tape, x, taken);
    const kernels::Gemm product{.terms = {{in.raw(), d, packed(tape, w, taken, Side::forward)}},
                                .m = n,
                                .n = e,
                                .c = given.raw(),
                                .ldc = e,
                                .c_dtype = taken,
                                .bias_N = bias ? bias.raw() : nullptr};
    if (tape.runs()) kernels::gemm(tape.pool(), std::span(&product, 1));
    if (taken != p && tape.runs())
      for (int64_t i = 0; i < n * e; ++i) logits.data<float>()[i] = static_cast<float>(given.data<bf16>()[i]);
  }
  if (logits.needs_grad())
    tape.record("router", [=, d_logits_cell = logits.grad()](Tape& t) {
      const Tensor d_logits = d_logits_cell->take();
      if (!d_logits) return;
      t.count("router", {.matmul_flops = 2 * products, .bytes = static_cast<double>(2 * x.bytes() + 2 * d_logits.bytes())});
      if (const GradSlot dw = t.slot(w.grad())) {
        const Tensor wide = converted(t, x, p);
        const kernels::GemmAtB product{.dtype = p,
                                       .a = d_logits.raw(),
                                       .lda = e,
                                       .b = wide.raw(),
                                       .ldb = d,
                                       .m = n,
                                       .p = e,
                                       .q = d,
                                       .c = dw.grad.raw(),
                                       .ldc = d,
                                       .accumulate = dw.accumulate};
        if (t.runs()) kernels::gemm_at_b(t.pool(), std::span(&product, 1));
      }
      if (bias)
        if (const Tensor db = t.sum_slot(bias.grad())) add_column_sums(t, d_logits, db);
      if (const GradSlot dx = t.slot(x.grad())) {
        const kernels::Gemm product{.terms = {{d_logits.raw(), e, packed(t, w, p, Side::backward)}},
                                    .m = n,
                                    .n = d,
                                    .c = dx.grad.raw(),
                                    .ldc = d,
                                    .c_dtype = x.dtype(),
                                    .accumulate = dx.accumulate};
        if (t.runs()) kernels::gemm(t.pool(), std::span(&product, 1));
      }
    });
  return logits;
}

Routing select(Tape& tape, const Tensor& logits, const Tensor& bias, const SelectOptions& o, const Tensor& chosen) {
  const auto timing = tape.time("router");
  const int64_t n = logits.rows(), e = logits.width();
  if (o.k < 1 || o.k > e)
    throw Error({.who = "route",
                 .what = "cannot choose " + std::to_string(o.k) + " of " + std::to_string(e) + " experts",
                 .hint = "top_k must lie between 1 and the number of experts"});
  if (o.groups < 1 || e % o.groups != 0 || o.kept_groups < 1 || o.kept_groups > o.groups || (o.groups > 1 && o.k > o.kept_groups * (e / o.groups)))
    throw Error({.who = "route",
                 .what = std::to_string(o.kept_groups) + " of " + std::to_string(o.groups) + " groups of " + std::to_string(e) + " experts do not leave " +
                         std::to_string(o.k) + " to choose"});
  const DType p = logits.dtype();
  if (chosen && chosen.shape() != Shape{n, o.k})
    throw Error({.who = "route", .what = "choices " + chosen.shape().text() + " do not fit " + logits.shape().text()});
  Routing r{.index_Nk = chosen ? chosen : tape.empty({n, o.k}, DType::i32),
            .weight_Nk = tape.output({n, o.k}, p, {logits}),
            .load_E = Tensor(),
            .scores_NE = tape.output({n, e}, p, {logits}),
            .logits_NE = logits};
  const Cost cost{.other_flops = 5 * static_cast<double>(n * e), .bytes = 2 * static_cast<double>(logits.bytes())};
  tape.count("router", cost);
  if (tape.runs())
    with_float_type(p, [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>)
        for_row_blocks(tape, n, [&](int64_t first, int64_t rows, int) {
          kernels::route<P>().best().fn(rows_of<P>(o, logits, bias, r, static_cast<bool>(chosen), first, rows));
        });
    });
  r.load_E = count_experts(tape, r.index_Nk, e);
  if (!r.weight_Nk.needs_grad()) return r;
  tape.record("router", [o, logits, bias, r, cost, n, e, p](Tape& t) {
    const Tensor d_weight = r.weight_Nk.grad()->take(), d_scores = r.scores_NE.grad()->take();
    if (!d_weight && !d_scores) return;
    t.count("router", {.other_flops = 2 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor d_logits = t.sum_slot(logits.grad());
    if (t.runs())
      with_float_type(p, [&]<class P>() {
        if constexpr (!std::is_same_v<P, bf16>)
          for_row_blocks(t, n, [&](int64_t first, int64_t rows, int) {
            kernels::route_backward<P>().best().fn({.forward = rows_of<P>(o, logits, bias, r, true, first, rows),
                                                    .d_weight_Nk = d_weight ? d_weight.data<P>() + first * o.k : nullptr,
                                                    .d_scores_NE = d_scores ? d_scores.data<P>() + first * e : nullptr,
                                                    .d_logits_NE = d_logits.data<P>() + first * e});
          });
      });
  });
  return r;
}

Tensor jitter(Tape& tape, const Tensor& x, double epsilon, const RandomStream& stream, uint64_t first) {
  const auto timing = tape.time("router");
  const auto scaled = [=](Tape& t, const Tensor& from, const Tensor& to) {
    t.count("router", {.other_flops = 20 * static_cast<double>(from.elements()), .bytes = 2 * static_cast<double>(from.bytes())});
    if (!t.runs()) return;
    const int64_t d = from.width();
    with_float_type(from.dtype(), [&]<class T>() {
      for_row_blocks(t, from.rows(), [&](int64_t row, int64_t rows, int) {
        for (int64_t i = row * d; i < (row + rows) * d; ++i) {
          const double u = 1 + epsilon * (2 * stream.uniform(first + static_cast<uint64_t>(i)) - 1);
          to.data<T>()[i] = T(static_cast<accumulator<T>>(u * static_cast<double>(from.data<T>()[i])));
        }
      });
    });
  };
  const Tensor y = tape.output(x.shape(), x.dtype(), {x});
  scaled(tape, x, y);
  if (y.needs_grad())
    tape.record("router", [=, cell = x.grad(), dy = y.grad()](Tape& t) {
      const Tensor g = dy->take();
      if (!g) return;
      const Tensor dx = t.empty(g.shape(), g.dtype());
      scaled(t, g, dx);
      t.give(cell, dx);
    });
  return y;
}

Tensor count_experts(Tape& tape, const Tensor& index, int64_t experts) {
  const Tensor load = tape.zeros({experts}, DType::i32);
  if (tape.runs())
    for (const int32_t e : index.span<int32_t>())
      if (e >= 0) ++load.data<int32_t>()[e];
  return load;
}

}  // namespace gamut::ops
