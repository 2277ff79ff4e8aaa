#include "ops/linear.h"

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/packed_weight.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

constexpr size_t kTerms = 4;  // of one kernels::Gemm

void check(const Tensor& x, const LinearWeight& weight) {
  const Shape& w = weight.w_NK.shape();
  if (w.rank() != 2 || w[1] != x.width())
    throw Error({.who = "linear",
                 .what = "x " + x.shape().text() + " and w_NK " + w.text() + " disagree on K (" + std::to_string(x.width()) + " ≠ " +
                         std::to_string(w[-1]) + ")",
                 .hint = "does the configuration match these weights?"});
  if (weight.bias_N && weight.bias_N.elements() != w[0])
    throw Error({.who = "linear", .what = "bias_N " + weight.bias_N.shape().text() + " does not fit w_NK " + w.text()});
}

Shape with_width(const Shape& shape, int64_t width) {
  std::array<int64_t, Shape::kMax> dims{};
  std::copy(shape.dims().begin(), shape.dims().end(), dims.begin());
  dims[static_cast<size_t>(shape.rank() - 1)] = width;
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(shape.rank())));
}

Cost product_cost(int64_t m, int64_t n, int64_t k, size_t element) {
  const double M = static_cast<double>(m), N = static_cast<double>(n), K = static_cast<double>(k);
  return {.matmul_flops = 2 * M * N * K, .bytes = (M * N + M * K + N * K) * static_cast<double>(element)};
}

}  // namespace

std::vector<Tensor> linear(Tape& tape, const Tensor& x, std::span<const LinearWeight> weights, std::optional<DType> out_dtype) {
  const auto timing = tape.time("linear");
  const int64_t m = x.rows(), k = x.width();
  std::vector<Tensor> ys;
  std::vector<kernels::Gemm> problems;
  for (const LinearWeight& weight : weights) {
    check(x, weight);
    const int64_t n = weight.w_NK.shape()[0];
    Tensor y = tape.output(with_width(x.shape(), n), out_dtype.value_or(x.dtype()), {x, weight.w_NK, weight.bias_N});
    problems.push_back({.terms = {{x.raw(), k, packed(tape, weight.w_NK, x.dtype(), Side::forward)}},
                        .m = m,
                        .n = n,
                        .c = y.raw(),
                        .ldc = n,
                        .c_dtype = y.dtype(),
                        .bias_N = weight.bias_N ? weight.bias_N.raw() : nullptr});
    tape.count("linear", product_cost(m, n, k, size_of(x.dtype())));
    ys.push_back(std::move(y));
  }
  if (tape.runs()) kernels::gemm(tape.pool(), problems);

  bool recorded = false;
  std::vector<GradRef> dys;
  for (const Tensor& y : ys) {
    dys.push_back(y.grad());
    recorded |= y.needs_grad();
  }
  if (!recorded) return ys;
  tape.record("linear", [x, ws = std::vector<LinearWeight>(weights.begin(), weights.end()), dys = std::move(dys), m, k](Tape& t) {
    std::vector<Tensor> grads;
    for (const GradRef& dy : dys) grads.push_back(dy ? dy->take() : Tensor());
    std::vector<kernels::GemmAtB> weight_grads;
    for (size_t i = 0; i < ws.size(); ++i) {
      if (!grads[i]) continue;
      const int64_t n = ws[i].w_NK.shape()[0];
      grads[i] = converted(t, grads[i], x.dtype());  // results may have been kept in another type
      if (const GradSlot dw = t.slot(ws[i].w_NK.grad()))
        weight_grads.push_back({.dtype = x.dtype(), .a = grads[i].raw(), .lda = n, .b = x.raw(), .ldb = k, .m = m, .p = n, .q = k,
                                .c = dw.grad.raw(), .ldc = k, .accumulate = dw.accumulate});
      if (ws[i].w_NK.grad()) t.count("linear", product_cost(m, n, k, size_of(x.dtype())));
      if (ws[i].bias_N)
        if (const Tensor db = t.sum_slot(ws[i].bias_N.grad())) add_column_sums(t, grads[i], db);
    }
    if (t.runs() && !weight_grads.empty()) kernels::gemm_at_b(t.pool(), weight_grads);
    if (!x.grad()) return;
    for (size_t i = 0; i < ws.size();) {  // up to four terms at a time
      kernels::Gemm dx{.term_count = 0, .m = m, .n = k, .ldc = k, .c_dtype = x.dtype()};
      for (; i < ws.size() && dx.term_count < static_cast<int>(kTerms); ++i) {
        if (!grads[i]) continue;
        const int64_t n = ws[i].w_NK.shape()[0];
        dx.terms[dx.term_count++] = {grads[i].raw(), n, packed(t, ws[i].w_NK, x.dtype(), Side::backward)};
        t.count("linear", product_cost(m, k, n, size_of(x.dtype())));
      }
      if (dx.term_count == 0) continue;
      const GradSlot slot = t.slot(x.grad());
      dx.c = slot.grad.raw();
      dx.accumulate = slot.accumulate;
      if (t.runs()) kernels::gemm(t.pool(), std::span(&dx, 1));
    }
  });
  return ys;
}

Tensor linear(Tape& tape, const Tensor& x, const LinearWeight& weight, std::optional<DType> out_dtype) {
  return linear(tape, x, std::span(&weight, 1), out_dtype)[0];
}

}  // namespace gamut::ops
