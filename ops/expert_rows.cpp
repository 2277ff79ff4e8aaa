#include "ops/expert_rows.h"

#include <algorithm>

#include "kernels/elementwise.h"
#include "ops/reduce.h"

namespace gamut::ops {

Plan plan_rows(Tape& tape, const Dispatch& dispatch, int64_t experts) {
  const auto timing = tape.time("dispatch");
  const int64_t slots = dispatch.index_Nk.elements(), k = dispatch.index_Nk.width();
  Plan plan;
  plan.segments.begin.assign(static_cast<size_t>(experts) + 1, 0);
  plan.row_Nk = tape.empty({slots}, DType::i32);
  if (!tape.runs()) {
    plan.segments.begin.back() = dispatch.most_rows > 0 ? std::min(slots, dispatch.most_rows) : slots;
    for (int64_t e = 0; e < experts; ++e) plan.segments.begin[static_cast<size_t>(e)] = plan.segments.begin.back() * e / experts;
  } else {
    const int32_t* index = dispatch.index_Nk.data<int32_t>();
    std::vector<int64_t> next(static_cast<size_t>(experts), 0);
    for (int64_t s = 0; s < slots; ++s)
      if (index[s] >= 0) ++next[static_cast<size_t>(index[s])];
    int64_t total = 0;
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t rows = next[static_cast<size_t>(e)];
      plan.segments.begin[static_cast<size_t>(e)] = next[static_cast<size_t>(e)] = total;
      total += rows;
    }
    plan.segments.begin.back() = total;
    int32_t* row = plan.row_Nk.data<int32_t>();
    for (int64_t s = 0; s < slots; ++s) row[s] = index[s] >= 0 ? static_cast<int32_t>(next[static_cast<size_t>(index[s])]++) : -1;
  }
  plan.token_R = tape.empty({plan.segments.rows()}, DType::i32);
  plan.slot_R = tape.empty({plan.segments.rows()}, DType::i32);
  if (tape.runs())
    for (int64_t s = 0; s < slots; ++s)
      if (const int32_t row = plan.row_Nk.data<int32_t>()[s]; row >= 0) {
        plan.token_R.data<int32_t>()[row] = static_cast<int32_t>(s / k);
        plan.slot_R.data<int32_t>()[row] = static_cast<int32_t>(s);
      }
  return plan;
}

Tensor gather(Tape& tape, const Tensor& x, const Plan& plan) {
  const auto timing = tape.time("dispatch");
  const int64_t d = x.width();
  const Tensor rows = tape.empty({plan.segments.rows(), d}, x.dtype());
  tape.count("dispatch", {.bytes = 2 * static_cast<double>(rows.bytes())});
  const size_t row_bytes = static_cast<size_t>(d) * size_of(x.dtype());
  if (tape.runs())
    for_row_blocks(tape, rows.rows(), [&](int64_t first, int64_t count, int) {
      for (int64_t r = first; r < first + count; ++r)
        std::copy_n(x.raw() + static_cast<size_t>(plan.token_R.data<int32_t>()[r]) * row_bytes, row_bytes, rows.raw() + static_cast<size_t>(r) * row_bytes);
    });
  return rows;
}

void combine(Tape& tape, const Tensor& rows, const Plan& plan, int64_t k, const Tensor& y) {
  const auto timing = tape.time("dispatch");
  tape.count("dispatch", {.other_flops = static_cast<double>(rows.elements()), .bytes = static_cast<double>(rows.bytes() + y.bytes())});
  if (!tape.runs()) return;
  const int64_t d = y.width();
  with_float_type(y.dtype(), [&]<class T>() {
    const auto sum = kernels::sum_rows<T>().best().fn;
    for_row_blocks(tape, y.rows(), [&](int64_t first, int64_t count, int) {
      std::vector<const T*> parts(static_cast<size_t>(k));
      for (int64_t t = first; t < first + count; ++t) {
        int64_t n = 0;
        for (int64_t j = 0; j < k; ++j)
          if (const int32_t row = plan.row_Nk.data<int32_t>()[t * k + j]; row >= 0) parts[static_cast<size_t>(n++)] = rows.data<T>() + row * d;
        sum(n, parts.data(), d, y.data<T>() + t * d);
      }
    });
  });
}

void project(Tape& tape, const Segments& segments, const Tensor& a, const Tensor& w, Side side, const Tensor& bias, const Tensor& out, const kernels::Epilogue& epilogue) {
  std::vector<kernels::Gemm> problems;
  const int64_t k = a.width(), n = out.width();
  for (int64_t e = 0; e < segments.experts(); ++e) {
    const int64_t first = segments.begin[static_cast<size_t>(e)], rows = segments.begin[static_cast<size_t>(e) + 1] - first;
    const kernels::PackedMatrix b = packed(tape, w, a.dtype(), side, e);
    if (!tape.runs()) return;
    problems.push_back({.terms = {{a.raw() + static_cast<size_t>(first * k) * size_of(a.dtype()), k, b}},
                        .m = rows, .n = n, .c = out.raw() + static_cast<size_t>(first * n) * size_of(out.dtype()), .ldc = n,
                        .c_dtype = out.dtype(), .bias_N = bias ? bias.raw() + static_cast<size_t>(e * n) * size_of(bias.dtype()) : nullptr,
                        .epilogue = epilogue ? &epilogue : nullptr, .epilogue_row = first});
  }
  kernels::gemm(tape.pool(), problems);
}

void weight_gradient(std::vector<kernels::GemmAtB>& problems, Tape& tape, const Segments& segments, const Tensor& a, const Tensor& b, const Tensor& w) {
  const GradSlot slot = tape.slot(w.grad());
  if (!slot || !tape.runs()) return;
  const int64_t p = a.width(), q = b.width();
  for (int64_t e = 0; e < segments.experts(); ++e) {
    const int64_t first = segments.begin[static_cast<size_t>(e)], rows = segments.begin[static_cast<size_t>(e) + 1] - first;
    if (rows == 0 && slot.accumulate) continue;  // an expert nobody chose: nothing to add
    problems.push_back({.dtype = a.dtype(), .a = a.raw() + static_cast<size_t>(first * p) * size_of(a.dtype()), .lda = p,
                        .b = b.raw() + static_cast<size_t>(first * q) * size_of(b.dtype()), .ldb = q, .m = rows, .p = p, .q = q,
                        .c = slot.grad.raw() + static_cast<size_t>(e * p * q) * size_of(slot.grad.dtype()), .ldc = q, .accumulate = slot.accumulate});
  }
}

}  // namespace gamut::ops
