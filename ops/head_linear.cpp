#include "ops/head_linear.h"

#include "base/error.h"
#include "kernels/gemm.h"

namespace gamut::ops {
namespace {

// to_h (+)= from_h·(W_hᵀ or W_h) for every head. A gradient's tensor may have the shape that x had before it was cut into heads.
void multiply(Tape& tape, const Tensor& from, const Tensor& w, Side side, const Tensor& to, bool accumulate) {
  const bool forward = side == Side::forward;
  const int64_t heads = w.shape()[0], k = w.shape()[forward ? 2 : 1], n = w.shape()[forward ? 1 : 2], m = from.elements() / (heads * k);
  std::vector<kernels::Gemm> problems;
  for (int64_t h = 0; h < heads; ++h) {
    const kernels::PackedMatrix b = packed(tape, w, from.dtype(), side, h);
    if (!tape.runs()) return;
    problems.push_back({.terms = {{from.raw() + static_cast<size_t>(h * k) * size_of(from.dtype()), heads * k, b}},
                        .m = m,
                        .n = n,
                        .c = to.raw() + static_cast<size_t>(h * n) * size_of(to.dtype()),
                        .ldc = heads * n,
                        .c_dtype = to.dtype(),
                        .accumulate = accumulate});
  }
  kernels::gemm(tape.pool(), problems);
}

}  // namespace

Tensor head_linear(Tape& tape, const Tensor& x, const Tensor& w, Side side) {
  const auto timing = tape.time("head_linear");
  const Shape &xs = x.shape(), &ws = w.shape();
  const bool forward = side == Side::forward;
  if (xs.rank() != 4 || ws.rank() != 3 || xs[2] != ws[0] || xs[3] != ws[forward ? 2 : 1])
    throw Error({.who = "head_linear", .what = "x " + xs.text() + " and w_HNK " + ws.text() + " do not fit"});
  const int64_t heads = ws[0], n = ws[1], k = ws[2], m = xs[0] * xs[1];
  const Tensor y = tape.output({xs[0], xs[1], heads, forward ? n : k}, x.dtype(), {x, w});
  const Cost cost{.matmul_flops = 2 * static_cast<double>(m * heads * n * k),
                  .bytes = static_cast<double>(m * heads * (n + k) + heads * n * k) * static_cast<double>(size_of(x.dtype()))};
  tape.count("head_linear", cost);
  multiply(tape, x, w, side, y, false);
  if (y.needs_grad())
    tape.record("head_linear", [=, dy_cell = y.grad()](Tape& t) {
      const Tensor dy = dy_cell->take();
      if (!dy) return;
      if (const GradSlot dw = t.slot(w.grad())) {
        t.count("head_linear", cost);
        // dW = dYᵀ·X [N, K] forward, Xᵀ·dY backward.
        const Tensor &left = forward ? dy : x, &right = forward ? x : dy;
        std::vector<kernels::GemmAtB> products;
        if (t.runs())
          for (int64_t h = 0; h < heads; ++h)
            products.push_back({.dtype = x.dtype(),
                                .a = left.raw() + static_cast<size_t>(h * n) * size_of(x.dtype()),
                                .lda = heads * n,
                                .b = right.raw() + static_cast<size_t>(h * k) * size_of(x.dtype()),
                                .ldb = heads * k,
                                .m = m,
                                .p = n,
                                .q = k,
                                .c = dw.grad.raw() + static_cast<size_t>(h * n * k) * size_of(dw.grad.dtype()),
                                .ldc = k,
                                .accumulate = dw.accumulate});
        if (t.runs()) kernels::gemm_at_b(t.pool(), products);
      }
      if (const GradSlot dx = t.slot(x.grad())) {
        t.count("head_linear", cost);
        multiply(t, dy, w, forward ? Side::backward : Side::forward, dx.grad, dx.accumulate);
      }
    });
  return y;
}

}  // namespace gamut::ops
