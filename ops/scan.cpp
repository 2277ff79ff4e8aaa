#include "ops/scan.h"

#include <algorithm>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

struct Sizes {
  int64_t b, t, e, n;
  int64_t parts() const { return (e + kernels::kScanChannels - 1) / kernels::kScanChannels; }
  int64_t chunks() const { return (t + kernels::kScanChunk - 1) / kernels::kScanChunk; }
};
struct Task {
  int64_t row, first, channels, part;
};
Task task_of(int64_t i, const Sizes& s) {
  const int64_t part = i % s.parts(), first = part * kernels::kScanChannels;
  return {i / s.parts(), first, std::min(kernels::kScanChannels, s.e - first), part};
}

template <class T> kernels::ScanForward<T> forward_of(const Scan& in, const Sizes& s, const Task& task, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t at = task.row * s.t * s.e + task.first;
  return {.tokens = s.t, .channels = task.channels, .n = s.n, .stride = s.e, .x = in.x.data<T>() + at, .delta = in.delta.data<P>() + at, .log_rate_EN = in.log_rate_EN.data<P>() + task.first * s.n,
          .b_TN = in.b.data<P>() + task.row * s.t * s.n, .c_TN = in.c.data<P>() + task.row * s.t * s.n, .skip_E = in.skip_E.data<P>() + task.first, .state = nullptr,
          .state_stride = s.e, .starts = nullptr, .out = nullptr, .scratch = scratch};
}

}  // namespace

Tensor scan(Tape& tape, const Scan& in, const Tensor& given) {
  const auto timing = tape.time("scan");
  const Shape &x = in.x.shape(), &rate = in.log_rate_EN.shape();
  if (x.rank() != 3 || rate.rank() != 2 || rate[0] != x[2] || in.delta.shape() != x || in.b.shape() != Shape{x[0], x[1], rate[1]} || in.c.shape() != in.b.shape() || in.skip_E.elements() != x[2])
    throw Error({.who = "scan", .what = "x " + x.text() + ", delta " + in.delta.shape().text() + ", b " + in.b.shape().text() + ", c " + in.c.shape().text() + ", log_rate " + rate.text() + " do not fit together"});
  const Sizes s{x[0], x[1], x[2], rate[1]};
  if (given && given.shape() != Shape{s.b, s.n, s.e}) throw Error({.who = "scan", .what = "a state " + given.shape().text() + ", expected " + Shape{s.b, s.n, s.e}.text()});
  const DType type = in.x.dtype(), p = parameter_dtype(type);
  const Tensor y = tape.output(x, type, {in.x, in.delta, in.b, in.c, in.log_rate_EN, in.skip_E});
  const Tensor state = given ? given : tape.zeros({s.b, s.n, s.e}, p), starts = y.needs_grad() ? tape.empty({s.b, s.chunks(), s.n, s.e}, p) : Tensor();
  // Products of two rows (Δx, B) and of a row and the state (C·h); beside them decays and what makes them.
  const double states = static_cast<double>(in.x.elements() * s.n);
  const Cost cost{.matmul_flops = 4 * states, .other_flops = 12 * states, .bytes = static_cast<double>(2 * in.x.bytes() + in.delta.bytes())};
  tape.count("scan", cost);
  const auto scratch = static_cast<size_t>(kernels::scan_scratch(s.n));
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      tape.pool().parallel_for(s.b * s.parts(), [&](int64_t i, int thread) {
        const Task task = task_of(i, s);
        auto a = forward_of<T>(in, s, task, tape.pool().scratch(thread, scratch));
        a.state = state.data<P>() + task.row * s.n * s.e + task.first;
        if (starts) a.starts = starts.data<P>() + task.row * s.chunks() * s.n * s.e + task.first;
        a.out = y.data<T>() + task.row * s.t * s.e + task.first;
        kernels::scan_forward<T>().best().fn(a);
      });
    });
  if (!y.needs_grad()) return y;
  if (given) throw Error({.who = "scan", .what = "a given state has no gradient", .hint = "train without states"});
  tape.record("scan", [in, s, starts, dy = y.grad(), type, p, cost, scratch](Tape& t) {
    const Tensor d_out = dy->take();
    if (!d_out) return;
    t.count("scan", {.matmul_flops = 3 * cost.matmul_flops, .other_flops = 3 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor dx = t.empty(in.x.shape(), type), d_delta = t.empty(in.x.shape(), p);
    const Tensor d_rate = t.empty({s.b, s.e, s.n}, p), d_skip = t.empty({s.b, s.e}, p);
    const Tensor d_b = t.empty({s.parts(), s.b, s.t, s.n}, p), d_c = t.empty({s.parts(), s.b, s.t, s.n}, p), b_sum = t.empty(in.b.shape(), p), c_sum = t.empty(in.c.shape(), p);
    const Tensor rate_sum = t.sum_slot(in.log_rate_EN.grad()), skip_sum = t.sum_slot(in.skip_E.grad());
    if (t.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        t.pool().parallel_for(s.b * s.parts(), [&](int64_t i, int thread) {
          const Task task = task_of(i, s);
          const int64_t at = task.row * s.t * s.e + task.first, from_all = (task.part * s.b + task.row) * s.t * s.n;
          auto a = forward_of<T>(in, s, task, t.pool().scratch(thread, scratch));
          a.starts = starts.data<P>() + task.row * s.chunks() * s.n * s.e + task.first;
          kernels::scan_backward<T>().best().fn({.forward = a, .d_out = d_out.data<T>() + at, .dx = dx.data<T>() + at, .d_delta = d_delta.data<P>() + at,
              .d_log_rate_EN = d_rate.data<P>() + (task.row * s.e + task.first) * s.n, .d_b_TN = d_b.data<P>() + from_all, .d_c_TN = d_c.data<P>() + from_all,
              .d_skip_E = d_skip.data<P>() + task.row * s.e + task.first});
        });
        // Parts and rows of the batch in order.
        const int64_t each = s.b * s.t * s.n;
        for_row_blocks(t, s.b * s.t, [&](int64_t first, int64_t rows, int) {
          for (const auto& [parts, sum] : {std::pair(d_b.data<P>(), b_sum.data<P>()), std::pair(d_c.data<P>(), c_sum.data<P>())})
            for (int64_t i = first * s.n; i < (first + rows) * s.n; ++i) {
              sum[i] = parts[i];
              for (int64_t part = 1; part < s.parts(); ++part) sum[i] += parts[part * each + i];
            }
        });
        const auto add_rows = [&](const Tensor& from, const Tensor& to) {
          if (to)
            for (int64_t row = 0; row < s.b; ++row)
              for (int64_t i = 0; i < to.elements(); ++i) to.data<P>()[i] += from.data<P>()[row * to.elements() + i];
        };
        add_rows(d_rate, rate_sum);
        add_rows(d_skip, skip_sum);
      });
    t.give(in.x.grad(), dx);
    t.give(in.delta.grad(), d_delta);
    t.give(in.b.grad(), b_sum);
    t.give(in.c.grad(), c_sum);
  });
  return y;
}

}  // namespace gamut::ops
