#include "ops/route.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/packed_weight.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

template <class P> kernels::Route<P> rows_of(const RouteOptions& o, const Tensor& logits, const Tensor& bias, const Routing& r, int64_t first, int64_t rows) {
  const int64_t e = logits.width();
  return {.score = o.score, .norm = o.norm, .scale = static_cast<P>(o.scale), .rows = rows, .experts = e, .k = o.k,
          .logits_NE = logits.data<P>() + first * e, .bias_E = bias ? bias.data<P>() : nullptr, .scores_NE = r.scores_NE.data<P>() + first * e,
          .index_Nk = r.index_Nk.data<int32_t>() + first * o.k, .weight_Nk = r.weight_Nk.data<P>() + first * o.k};
}

// What the two losses need of the batch: share of slots, mean probability, log-sum-exp.
template <class P> struct Balance {
  std::vector<double> share, mean;
  std::vector<P> lse;
};

// Probabilities of one row: softmax scores as they are, sigmoid scores divided by their sum.
template <class P> P row_sum(kernels::RouterScore score, const P* row, int64_t e) {
  if (score == kernels::RouterScore::softmax) return P(1);
  P sum = 0;
  for (int64_t i = 0; i < e; ++i) sum += row[i];
  return sum;
}

template <class P> Balance<P> measure(const RouteOptions& o, const Tensor& logits, Routing& r) {
  const int64_t n = logits.rows(), e = logits.width();
  Balance<P> b{std::vector<double>(static_cast<size_t>(e)), std::vector<double>(static_cast<size_t>(e)), {}};
  for (int64_t i = 0; i < e; ++i) b.share[static_cast<size_t>(i)] = r.load_E.data<int32_t>()[i] / static_cast<double>(n * o.k);
  if (o.balance_loss != 0)
    for (int64_t t = 0; t < n; ++t) {
      const P* row = r.scores_NE.data<P>() + t * e;
      const P sum = row_sum(o.score, row, e);
      for (int64_t i = 0; i < e; ++i) b.mean[static_cast<size_t>(i)] += row[i] / sum / static_cast<double>(n);
    }
  if (o.z_loss != 0) {
    b.lse.resize(static_cast<size_t>(n));
    double squares = 0;
    for (int64_t t = 0; t < n; ++t) {
      const P* row = logits.data<P>() + t * e;
      const P top = *std::max_element(row, row + e);
      P sum = 0;
      for (int64_t i = 0; i < e; ++i) sum += std::exp(row[i] - top);
      b.lse[static_cast<size_t>(t)] = top + std::log(sum);
      squares += static_cast<double>(b.lse[static_cast<size_t>(t)]) * b.lse[static_cast<size_t>(t)];
    }
    r.z = squares / static_cast<double>(n);
  }
  for (int64_t i = 0; i < e; ++i) r.balance += static_cast<double>(e) * b.share[static_cast<size_t>(i)] * b.mean[static_cast<size_t>(i)];
  return b;
}

// d_logits gets the z-loss, d_scores the balancing loss, for all rows.
template <class P>
void loss_gradients(Tape& t, const RouteOptions& o, const Balance<P>& b, const Tensor& logits, const Tensor& scores, const Tensor& d_scores, const Tensor& d_logits) {
  const int64_t n = logits.rows(), e = logits.width();
  const double alpha = o.balance_loss * o.loss_scale * static_cast<double>(e) / static_cast<double>(n), c = 2 * o.z_loss * o.loss_scale / static_cast<double>(n);
  for_row_blocks(t, n, [&](int64_t first, int64_t rows, int) {
    for (int64_t r = first; r < first + rows; ++r) {
      const P* score = scores.data<P>() + r * e;
      if (o.balance_loss != 0) {
        // P_i = s_i/Σs: ∂/∂s_i Σ_j f_j P_j = (f_i − Σ_j f_j P_j)/Σs for sigmoid scores; for softmax the sum is constantly 1.
        const P sum = row_sum(o.score, score, e);
        double mean = 0;
        if (o.score == kernels::RouterScore::sigmoid)
          for (int64_t i = 0; i < e; ++i) mean += b.share[static_cast<size_t>(i)] * score[i] / sum;
        for (int64_t i = 0; i < e; ++i) d_scores.data<P>()[r * e + i] = static_cast<P>(alpha * (b.share[static_cast<size_t>(i)] - mean) / sum);
      }
      if (o.z_loss != 0) {
        const P lse = b.lse[static_cast<size_t>(r)];
        for (int64_t i = 0; i < e; ++i) d_logits.data<P>()[r * e + i] = static_cast<P>(c * lse * std::exp(logits.data<P>()[r * e + i] - lse));
      }
    }
  });
}

}  // namespace

Routing route(Tape& tape, const Tensor& x, const Tensor& w, const Tensor& bias, const RouteOptions& o) {
  const auto timing = tape.time("router");
  const int64_t n = x.rows(), d = x.width(), e = w.shape()[0];
  if (o.k < 1 || o.k > e)
    throw Error({.who = "route", .what = "cannot choose " + std::to_string(o.k) + " of " + std::to_string(e) + " experts", .hint = "top_k must lie between 1 and the number of experts"});
  const DType p = w.dtype();
  const Tensor logits = tape.empty({n, e}, p);
  Routing r{.index_Nk = tape.empty({n, o.k}, DType::i32), .weight_Nk = tape.output({n, o.k}, p, {x, w}), .load_E = tape.zeros({e}, DType::i32), .scores_NE = tape.empty({n, e}, p), .logits_NE = logits};
  const double products = 2.0 * static_cast<double>(n * d * e);
  tape.count("router", {.matmul_flops = products, .other_flops = 5 * static_cast<double>(n * e), .bytes = static_cast<double>(x.bytes() + w.bytes() + 2 * logits.bytes())});
  {
    const Tensor wide = converted(tape, x, p);
    const kernels::Gemm product{.terms = {{wide.raw(), d, packed(tape, w, p, Side::forward)}}, .m = n, .n = e, .c = logits.raw(), .ldc = e, .c_dtype = p};
    if (tape.runs()) kernels::gemm(tape.pool(), std::span(&product, 1));
  }
  if (tape.runs())
    with_float_type(p, [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>) {
        for_row_blocks(tape, n, [&](int64_t first, int64_t rows, int) { kernels::route<P>().best().fn(rows_of<P>(o, logits, bias, r, first, rows)); });
        for (int64_t s = 0; s < n * o.k; ++s) ++r.load_E.data<int32_t>()[r.index_Nk.data<int32_t>()[s]];
      }
    });
  if (!r.weight_Nk.needs_grad()) return r;
  if (o.scores_wanted) r.scores_NE.require_grad();

  const auto record = [&]<class P>() {
    Balance<P> balance;
    const bool losses = o.balance_loss != 0 || o.z_loss != 0;
    const Tensor loss = losses ? tape.empty({1}, p) : Tensor();
    if (tape.runs() && losses) {
      balance = measure<P>(o, logits, r);
      *loss.data<P>() = static_cast<P>(o.loss_scale * (o.balance_loss * r.balance + o.z_loss * r.z));
    }
    if (losses) tape.add_loss(loss);
    tape.record("router", [o, x, w, bias, logits, r, balance = std::move(balance), products, n, d, e, p](Tape& t) {
      const Tensor d_weight = r.weight_Nk.grad()->take();
      const Tensor d_logits = t.zeros({n, e}, p);
      const Tensor d_scores = o.balance_loss != 0 ? t.empty({n, e}, p) : o.scores_wanted ? r.scores_NE.grad()->take() : Tensor();
      t.count("router", {.matmul_flops = 2 * products, .other_flops = 8 * static_cast<double>(n * e), .bytes = static_cast<double>(2 * x.bytes() + 4 * logits.bytes())});
      if (t.runs()) {
        if (o.balance_loss != 0 || o.z_loss != 0) loss_gradients<P>(t, o, balance, logits, r.scores_NE, d_scores, d_logits);
        for_row_blocks(t, n, [&](int64_t first, int64_t rows, int) {
          kernels::route_backward<P>().best().fn({.forward = rows_of<P>(o, logits, bias, r, first, rows),
              .d_weight_Nk = d_weight ? d_weight.data<P>() + first * o.k : nullptr, .d_scores_NE = d_scores ? d_scores.data<P>() + first * e : nullptr,
              .d_logits_NE = d_logits.data<P>() + first * e});
        });
      }
      if (const GradSlot dw = t.slot(w.grad())) {
        const Tensor wide = converted(t, x, p);
        const kernels::GemmAtB product{.dtype = p, .a = d_logits.raw(), .lda = e, .b = wide.raw(), .ldb = d, .m = n, .p = e, .q = d, .c = dw.grad.raw(), .ldc = d, .accumulate = dw.accumulate};
        if (t.runs()) kernels::gemm_at_b(t.pool(), std::span(&product, 1));
      }
      if (const GradSlot dx = t.slot(x.grad())) {
        const kernels::Gemm product{.terms = {{d_logits.raw(), e, packed(t, w, p, Side::backward)}}, .m = n, .n = d, .c = dx.grad.raw(), .ldc = d, .c_dtype = x.dtype(), .accumulate = dx.accumulate};
        if (t.runs()) kernels::gemm(t.pool(), std::span(&product, 1));
      }
    });
  };
  if (p == DType::f64) record.template operator()<double>();
  else record.template operator()<float>();
  return r;
}

}  // namespace gamut::ops
