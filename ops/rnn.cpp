#include "ops/rnn.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/packed_weight.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

// Rows of the batch that go through all tokens together. A product within a task runs on that task's thread, and its rows do not depend on each other.
constexpr int64_t kRows = 16;

// run(first row, rows, thread's scratch of `bytes`) for every block of rows, in parallel.
template <class Run> void for_rows(Tape& tape, int64_t rows, size_t bytes, Run run) {
  const int64_t blocks = (rows + kRows - 1) / kRows;
  tape.pool().parallel_for(blocks, [&](int64_t i, int thread) {
    const int64_t first = rows * i / blocks;
    run(first, rows * (i + 1) / blocks - first, tape.pool().scratch(thread, bytes));
  });
}

}  // namespace

Tensor rnn(Tape& tape, const Rnn& in, const RnnState& given) {
  const auto timing = tape.time("rnn");
  const int64_t gates = kernels::gates_of(in.cell), h = in.recurrent.w_NK.shape()[1], wide = gates * h;
  if (in.input.shape().rank() != 3 || in.input.width() != wide || in.recurrent.w_NK.shape()[0] != wide || (in.recurrent.bias_N && in.recurrent.bias_N.elements() != wide))
    throw Error({.who = "rnn", .what = "input " + in.input.shape().text() + " and recurrent weights " + in.recurrent.w_NK.shape().text() + " do not fit: expected " + std::to_string(gates) + " gates of each of " + std::to_string(h) + " units"});
  const int64_t b = in.input.shape()[0], t = in.input.shape()[1];
  const DType type = in.input.dtype(), p = parameter_dtype(type);
  const Tensor& w = in.recurrent.w_NK;
  const bool lstm = in.cell == kernels::Cell::lstm;
  if (given.h && (given.h.shape() != Shape{b, h} || given.h.dtype() != type)) throw Error({.who = "rnn", .what = "a state " + given.h.shape().text() + ", expected " + Shape{b, h}.text()});
  const Tensor y = tape.output({b, t, h}, type, {in.input, w, in.recurrent.bias_N});
  const Tensor start = given.h ? given.h : tape.zeros({b, h}, type), c = !lstm ? Tensor() : given.c ? given.c : tape.zeros({b, h}, p);
  const Tensor kept_gates = y.needs_grad() ? tape.empty({b, t, wide}, p) : Tensor(), kept = y.needs_grad() && in.cell != kernels::Cell::tanh ? tape.empty({b, t, h}, p) : Tensor();
  const double product = 2 * static_cast<double>(b * t * wide * h);
  const Cost cost{.matmul_flops = product, .other_flops = 20.0 * static_cast<double>(b * t * wide), .bytes = static_cast<double>(in.input.bytes() + y.bytes() + w.bytes())};
  tape.count("rnn", cost);
  const kernels::PackedMatrix forward = packed(tape, w, type, Side::forward);
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      for_rows(tape, b, static_cast<size_t>(kRows * wide) * sizeof(P), [&](int64_t first, int64_t rows, std::byte* scratch) {
        P* recurrent = reinterpret_cast<P*>(scratch);
        for (int64_t s = 0; s < t; ++s) {
          const int64_t at = first * t + s;
          const T* before = s == 0 ? start.data<T>() + first * h : y.data<T>() + (at - 1) * h;
          const int64_t stride = s == 0 ? h : t * h;
          const kernels::Gemm g{.terms = {{before, stride, forward}}, .m = rows, .n = wide, .c = recurrent, .ldc = wide, .c_dtype = p, .bias_N = in.recurrent.bias_N ? in.recurrent.bias_N.raw() : nullptr};
          kernels::gemm(tape.pool(), std::span(&g, 1));
          kernels::cell_forward<T>().best().fn({.cell = in.cell, .rows = rows, .hidden = h, .input = in.input.data<T>() + at * wide, .input_stride = t * wide, .recurrent = recurrent, .before = before,
              .before_stride = stride, .memory = c ? c.data<P>() + first * h : nullptr, .out = y.data<T>() + at * h, .out_stride = t * h, .gates = kept_gates ? kept_gates.data<P>() + at * wide : nullptr,
              .kept = kept ? kept.data<P>() + at * h : nullptr, .gates_stride = t * wide, .kept_stride = t * h});
        }
        if (given.h)
          for (int64_t r = first; r < first + rows; ++r) std::copy_n(y.data<T>() + (r * t + t - 1) * h, h, given.h.data<T>() + r * h);
      });
    });
  if (!y.needs_grad()) return y;
  if (given.h) throw Error({.who = "rnn", .what = "a given state has no gradient", .hint = "train without states"});
  tape.record("rnn", [in, y, kept_gates, kept, dy = y.grad(), b, t, h, wide, type, p, cost](Tape& tp) {
    const Tensor d_out = dy->take();
    if (!d_out) return;
    const Tensor& u = in.recurrent.w_NK;
    const GradSlot dw = tp.slot(u.grad());
    tp.count("rnn", {.matmul_flops = cost.matmul_flops * (dw ? 2 : 1), .other_flops = 2 * cost.other_flops, .bytes = 3 * cost.bytes});
    const bool apart = in.cell == kernels::Cell::gru;
    const Tensor d_input = tp.empty({b, t, wide}, type), d_recurrent = apart ? tp.empty({b, t, wide}, type) : d_input;
    const kernels::PackedMatrix backward = packed(tp, u, type, Side::backward);
    if (tp.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        for_rows(tp, b, static_cast<size_t>(2 * kRows * h) * sizeof(P), [&](int64_t first, int64_t rows, std::byte* scratch) {
          P *carried = reinterpret_cast<P*>(scratch), *from_next = carried + kRows * h;
          std::fill_n(carried, rows * h, P(0));
          for (int64_t s = t - 1; s >= 0; --s) {
            const int64_t at = first * t + s;
            if (s + 1 < t) {
              const kernels::Gemm g{.terms = {{d_recurrent.data<T>() + (at + 1) * wide, t * wide, backward}}, .m = rows, .n = h, .c = from_next, .ldc = h, .c_dtype = p};
              kernels::gemm(tp.pool(), std::span(&g, 1));
            }
            kernels::cell_backward<T>().best().fn({.cell = in.cell, .rows = rows, .hidden = h, .d_out = d_out.data<T>() + at * h, .d_out_stride = t * h, .from_next = s + 1 < t ? from_next : nullptr,
                .carried = carried, .gates = kept_gates.data<P>() + at * wide, .kept = kept ? kept.data<P>() + at * h : nullptr, .kept_before = kept && s > 0 ? kept.data<P>() + (at - 1) * h : nullptr,
                .gates_stride = t * wide, .kept_stride = t * h, .before = s > 0 ? y.data<T>() + (at - 1) * h : nullptr, .before_stride = t * h, .d_input = d_input.data<T>() + at * wide,
                .d_recurrent = d_recurrent.data<T>() + at * wide, .d_stride = t * wide});
          }
        });
      });
    if (dw) {
      const Tensor before = tp.empty(y.shape(), type);  // h before each token
      if (tp.runs()) {
        const size_t row = static_cast<size_t>(h) * size_of(type), all = static_cast<size_t>(t) * row;
        for (int64_t r = 0; r < b; ++r) {
          std::byte* to = before.raw() + static_cast<size_t>(r) * all;
          std::memset(to, 0, row);
          std::memcpy(to + row, y.raw() + static_cast<size_t>(r) * all, all - row);
        }
        const kernels::GemmAtB g{.dtype = type, .a = d_recurrent.raw(), .lda = wide, .b = before.raw(), .ldb = h, .m = b * t, .p = wide, .q = h, .c = dw.grad.raw(), .ldc = h, .accumulate = dw.accumulate};
        kernels::gemm_at_b(tp.pool(), std::span(&g, 1));
      }
    }
    if (in.recurrent.bias_N)
      if (const Tensor db = tp.sum_slot(in.recurrent.bias_N.grad())) add_column_sums(tp, d_recurrent, db);
    tp.give(in.input.grad(), d_input);
  });
  return y;
}

}  // namespace gamut::ops
