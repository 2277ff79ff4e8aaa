#include "ops/ffn.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "base/error.h"
#include "kernels/elementwise.h"
#include "ops/expert_rows.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

struct FfnShape {
  int64_t rows, d, h;
};

void count_products(Tape& tape, const char* name, const FfnShape& s, int matrices, int passes, size_t element, double weight_elements) {
  const double rows = static_cast<double>(s.rows), d = static_cast<double>(s.d), h = static_cast<double>(s.h), n = matrices * passes;
  tape.count(name, {.matmul_flops = 2 * n * rows * d * h, .bytes = n * (rows * (d + h) + weight_elements) * static_cast<double>(element)});
}

// run(expert, first, rows) over blocks of rows of one expert.
void for_expert_rows(Tape& tape, const Segments& segments, const std::function<void(int64_t, int64_t, int64_t)>& run) {
  for_row_blocks(tape, segments.rows(), [&](int64_t first, int64_t count, int) {
    const int64_t end = first + count;
    auto e = std::upper_bound(segments.begin.begin(), segments.begin.end(), first) - segments.begin.begin() - 1;
    for (int64_t at = first; at < end; ++e) {
      const int64_t stop = std::min(end, segments.begin[static_cast<size_t>(e) + 1]);
      if (stop > at) run(e, at, stop - at);
      at = std::max(at, stop);
    }
  });
}

// rows[r] += weight[r]·bias[expert of r].
void add_weighted_bias(Tape& tape, const Segments& segments, const Tensor& bias_ED, const Tensor& row_weight, const Tensor& rows) {
  if (!bias_ED) return;
  tape.count("moe", {.other_flops = 2 * static_cast<double>(rows.elements()), .bytes = 2 * static_cast<double>(rows.bytes())});
  if (!tape.runs()) return;
  const int64_t d = rows.width();
  with_float_type(rows.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    for_expert_rows(tape, segments, [&](int64_t e, int64_t first, int64_t count) {
      const P* bias = bias_ED.data<P>() + e * d;
      for (int64_t r = first; r < first + count; ++r) {
        const P weight = row_weight.data<P>()[r];
        T* row = rows.data<T>() + r * d;
        for (int64_t c = 0; c < d; ++c) row[c] = static_cast<T>(static_cast<P>(row[c]) + weight * bias[c]);
      }
    });
  });
}

// bias[e] += Σ over the rows of e of [weight·] gradient, in row order.
void add_expert_bias_gradient(Tape& t, const Segments& segments, const Tensor& gradient, const Tensor& row_weight, const Tensor& bias) {
  if (!bias) return;
  const Tensor sum = t.sum_slot(bias.grad());
  if (!sum || !t.runs()) return;
  const int64_t d = gradient.width();
  with_float_type(gradient.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    t.pool().parallel_for(segments.experts(), [&](int64_t e, int) {
      P* into = sum.data<P>() + e * d;
      for (int64_t r = segments.begin[static_cast<size_t>(e)]; r < segments.begin[static_cast<size_t>(e) + 1]; ++r) {
        const P weight = row_weight ? row_weight.data<P>()[r] : P(1);
        for (int64_t c = 0; c < d; ++c) into[c] += weight * static_cast<P>(gradient.data<T>()[r * d + c]);
      }
    });
  });
}

// d_weight[r] += ⟨bias[expert of r], dy[r]⟩.
void add_bias_to_weight_gradient(Tape& t, const Segments& segments, const Tensor& bias_ED, const Tensor& dy, const Tensor& d_row_weight) {
  if (!bias_ED || !d_row_weight || !t.runs()) return;
  const int64_t d = dy.width();
  with_float_type(dy.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    for_expert_rows(t, segments, [&](int64_t e, int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        P sum = 0;
        for (int64_t c = 0; c < d; ++c) sum += bias_ED.data<P>()[e * d + c] * static_cast<P>(dy.data<T>()[r * d + c]);
        d_row_weight.data<P>()[r] += sum;
      }
    });
  });
}

struct Hidden {
  Tensor gate, up;  // pre-activations [rows, H], kept for the gradient
};

// y = down(act(gate x)[∘ up x][· weight]). The activation follows the last product block by block; without a gradient to come (`keep`) it
// takes that product's place.
Hidden forward(Tape& tape, const Segments& segments, const Tensor& x, const FfnWeights& w, const Tensor& row_weight, const Tensor& down_bias, const Tensor& y, bool keep) {
  const int64_t h = w.gate.shape()[-2];
  const auto room = [&] { return tape.empty({x.rows(), h}, x.dtype()); };
  const Hidden hidden{room(), w.up ? room() : Tensor()};
  const Tensor out = keep ? room() : w.up ? hidden.up : hidden.gate;
  tape.count("activation", {.other_flops = 6 * static_cast<double>(out.elements()), .bytes = (w.up ? 2 : 1) * static_cast<double>(out.bytes())});
  const kernels::Epilogue activate = [&](const kernels::Block& b) {
    with_float_type(out.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      const int64_t at = b.row * h + b.column;
      kernels::gated_forward<T>().best().fn({.activation = w.activation, .limit = static_cast<P>(w.limit), .up_shift = static_cast<P>(w.up_shift), .rows = b.rows, .h = b.columns, .stride = h,
          .gate_NH = hidden.gate.data<T>() + at, .up_NH = w.up ? hidden.up.data<T>() + at : nullptr, .weight_N = row_weight ? row_weight.data<P>() + b.row : nullptr,
          .out_NH = out.data<T>() + at});
    });
  };
  project(tape, segments, x, w.gate, Side::forward, w.gate_bias, hidden.gate, w.up ? kernels::Epilogue() : activate);
  if (w.up) project(tape, segments, x, w.up, Side::forward, w.up_bias, hidden.up, activate);
  project(tape, segments, out, w.down, Side::forward, down_bias, y);
  return hidden;
}

// From the gradient of the rows' results to that of x and of the weights. d_row_weight: ? [rows].
Tensor segments_backward(Tape& t, const Segments& segments, const Tensor& x, const Hidden& hidden, const FfnWeights& w, const Tensor& row_weight,
                         const Tensor& dy, const Tensor& d_row_weight, bool need_dx) {
  const int64_t h = hidden.gate.width();
  Tensor d_act = t.empty(hidden.gate.shape(), x.dtype());
  project(t, segments, dy, w.down, Side::backward, Tensor(), d_act);
  const Tensor act = t.empty(hidden.gate.shape(), x.dtype());
  const Tensor d_gate = t.empty(hidden.gate.shape(), x.dtype()), d_up = hidden.up ? t.empty(hidden.gate.shape(), x.dtype()) : Tensor();
  t.count("activation", {.other_flops = 12 * static_cast<double>(act.elements()), .bytes = 6 * static_cast<double>(act.bytes())});
  if (t.runs()) {
    const auto timing = t.time("activation");
    with_float_type(x.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      for_row_blocks(t, x.rows(), [&](int64_t first, int64_t rows, int) {
        const int64_t at = first * h;
        kernels::gated_backward<T>().best().fn({.activation = w.activation, .limit = static_cast<P>(w.limit), .up_shift = static_cast<P>(w.up_shift), .rows = rows, .h = h, .gate_NH = hidden.gate.data<T>() + at,
            .up_NH = hidden.up ? hidden.up.data<T>() + at : nullptr, .weight_N = row_weight ? row_weight.data<P>() + first : nullptr,
            .d_out_NH = d_act.data<T>() + at, .d_gate_NH = d_gate.data<T>() + at, .d_up_NH = d_up ? d_up.data<T>() + at : nullptr,
            .d_weight_N = d_row_weight ? d_row_weight.data<P>() + first : nullptr, .out_NH = act.data<T>() + at});
      });
    });
  }
  d_act = Tensor();
  std::vector<kernels::GemmAtB> problems;
  weight_gradient(problems, t, segments, dy, act, w.down);
  weight_gradient(problems, t, segments, d_gate, x, w.gate);
  if (w.up) weight_gradient(problems, t, segments, d_up, x, w.up);
  if (t.runs() && !problems.empty()) kernels::gemm_at_b(t.pool(), problems);
  if (row_weight) {
    add_bias_to_weight_gradient(t, segments, w.down_bias, dy, d_row_weight);
    add_expert_bias_gradient(t, segments, dy, row_weight, w.down_bias);
    add_expert_bias_gradient(t, segments, d_gate, Tensor(), w.gate_bias);
    add_expert_bias_gradient(t, segments, d_up, Tensor(), w.up_bias);
  } else {
    for (const auto& [bias, gradient] : {std::pair(w.down_bias, dy), std::pair(w.gate_bias, d_gate), std::pair(w.up_bias, d_up)})
      if (bias)
        if (const Tensor sum = t.sum_slot(bias.grad())) add_column_sums(t, gradient, sum);
  }
  if (!need_dx) return Tensor();
  const Tensor dx = t.empty(x.shape(), x.dtype());
  std::vector<kernels::Gemm> products;
  const int64_t d = x.width();
  for (int64_t e = 0; e < segments.experts(); ++e) {
    const int64_t first = segments.begin[static_cast<size_t>(e)], rows = segments.begin[static_cast<size_t>(e) + 1] - first;
    const size_t hidden_at = static_cast<size_t>(first * h) * size_of(x.dtype());
    const kernels::PackedMatrix gate = packed(t, w.gate, x.dtype(), Side::backward, e);
    const kernels::PackedMatrix up = w.up ? packed(t, w.up, x.dtype(), Side::backward, e) : kernels::PackedMatrix{};
    if (!t.runs()) break;
    kernels::Gemm product{.terms = {{d_gate.raw() + hidden_at, h, gate}}, .m = rows, .n = d,
                          .c = dx.raw() + static_cast<size_t>(first * d) * size_of(x.dtype()), .ldc = d, .c_dtype = x.dtype()};
    if (w.up) product.terms[product.term_count++] = {d_up.raw() + hidden_at, h, up};
    products.push_back(product);
  }
  if (t.runs()) kernels::gemm(t.pool(), products);
  return dx;
}

int matrices_of(const FfnWeights& w) { return w.up ? 3 : 2; }
double weight_elements(const FfnWeights& w) { return static_cast<double>(w.down.elements()); }

// The gradient checks of Tape::output for all weights.
std::vector<Tensor> trained(const Tensor& x, const FfnWeights& w, const Tensor& row_weight = Tensor()) {
  return {x, w.gate, w.up, w.down, w.gate_bias, w.up_bias, w.down_bias, row_weight};
}

void check(const char* who, const Tensor& x, const FfnWeights& w) {
  const int64_t d = x.width(), h = w.gate.shape()[-2];
  const auto fits = [&](const Tensor& t, int64_t n, int64_t k) { return t.shape()[-2] == n && t.shape()[-1] == k; };
  if (!fits(w.gate, h, d) || (w.up && !fits(w.up, h, d)) || !fits(w.down, d, h))
    throw Error({.who = who, .what = "x " + x.shape().text() + ", gate " + w.gate.shape().text() + " and down " + w.down.shape().text() + " do not fit"});
}

}  // namespace

Tensor ffn(Tape& tape, const Tensor& x, const FfnWeights& w) {
  const auto timing = tape.time("ffn");
  check("ffn", x, w);
  const Segments whole{{0, x.rows()}};
  const FfnShape shape{x.rows(), x.width(), w.gate.shape()[-2]};
  Tensor y = tape.output(x.shape(), x.dtype(), trained(x, w));
  const Hidden hidden = forward(tape, whole, x, w, Tensor(), w.down_bias, y, y.needs_grad());
  count_products(tape, "ffn", shape, matrices_of(w), 1, size_of(x.dtype()), weight_elements(w));
  if (y.needs_grad())
    tape.record("ffn", [x, w, whole, hidden, shape, dy_cell = y.grad()](Tape& t) {
      const Tensor dy = dy_cell->take();
      if (!dy) return;
      const Tensor dx = segments_backward(t, whole, x, hidden, w, Tensor(), dy, Tensor(), x.needs_grad());
      count_products(t, "ffn", shape, matrices_of(w), x.needs_grad() ? 2 : 1, size_of(x.dtype()), weight_elements(w));
      if (dx) t.give(x.grad(), dx);
    });
  return y;
}

Tensor moe(Tape& tape, const Tensor& x, const Dispatch& dispatch, const FfnWeights& w) {
  const auto timing = tape.time("moe");
  check("moe", x, w);
  if (w.gate.shape().rank() != 3 || dispatch.index_Nk.rows() != x.rows() || dispatch.index_Nk.shape() != dispatch.weight_Nk.shape())
    throw Error({.who = "moe", .what = "x " + x.shape().text() + ", index_Nk " + dispatch.index_Nk.shape().text() + " and experts " + w.gate.shape().text() + " do not fit"});
  const int64_t k = dispatch.index_Nk.width(), experts = w.gate.shape()[0];
  const Plan plan = plan_rows(tape, dispatch, experts);
  const FfnShape shape{plan.segments.rows(), x.width(), w.gate.shape()[-2]};
  Tensor y = tape.output(x.shape(), x.dtype(), trained(x, w, dispatch.weight_Nk));
  const Tensor row_weight = tape.empty({plan.segments.rows()}, dispatch.weight_Nk.dtype());
  if (tape.runs())
    with_float_type(row_weight.dtype(), [&]<class P>() {
      for (int64_t r = 0; r < row_weight.elements(); ++r) row_weight.data<P>()[r] = dispatch.weight_Nk.data<P>()[plan.slot_R.data<int32_t>()[r]];
    });
  const Tensor rows = gather(tape, x, plan);
  Hidden hidden;
  {
    const Tensor results = tape.empty(rows.shape(), x.dtype());
    hidden = forward(tape, plan.segments, rows, w, row_weight, Tensor(), results, y.needs_grad());
    add_weighted_bias(tape, plan.segments, w.down_bias, row_weight, results);
    combine(tape, results, plan, k, y);
  }
  count_products(tape, "moe", shape, matrices_of(w), 1, size_of(x.dtype()), weight_elements(w));
  if (y.needs_grad())
    tape.record("moe", [x, w, plan, rows, hidden, row_weight, shape, k, d_weight_cell = dispatch.weight_Nk.grad(), dy_cell = y.grad()](Tape& t) {
      const Tensor dy = dy_cell->take();
      if (!dy) return;
      const Tensor d_row_weight = d_weight_cell ? t.empty(row_weight.shape(), row_weight.dtype()) : Tensor();
      const Tensor d_rows = segments_backward(t, plan.segments, rows, hidden, w, row_weight, gather(t, dy, plan), d_row_weight, x.needs_grad());
      count_products(t, "moe", shape, matrices_of(w), x.needs_grad() ? 2 : 1, size_of(x.dtype()), weight_elements(w));
      if (d_weight_cell) {
        const Tensor d_weight = t.zeros(d_weight_cell->shape, d_weight_cell->dtype);
        if (t.runs())
          with_float_type(d_weight.dtype(), [&]<class P>() {
            for (int64_t r = 0; r < d_row_weight.elements(); ++r) d_weight.data<P>()[plan.slot_R.data<int32_t>()[r]] = d_row_weight.data<P>()[r];
          });
        t.give(d_weight_cell, d_weight);
      }
      if (d_rows) {
        const Tensor dx = t.empty(x.shape(), x.dtype());
        combine(t, d_rows, plan, k, dx);
        t.give(x.grad(), dx);
      }
    });
  return y;
}

}  // namespace gamut::ops
