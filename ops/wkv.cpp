#include "ops/wkv.h"

#include <algorithm>

#include "base/error.h"

namespace gamut::ops {
namespace {

struct Sizes {
  int64_t b, t, c;
  int64_t parts() const { return (c + kernels::kWkvChannels - 1) / kernels::kWkvChannels; }
  int64_t chunks() const { return (t + kernels::kWkvChunk - 1) / kernels::kWkvChunk; }
};
struct Task {
  int64_t row, first, channels;
};
Task task_of(int64_t i, const Sizes& s) {
  const int64_t first = i % s.parts() * kernels::kWkvChannels;
  return {i / s.parts(), first, std::min(kernels::kWkvChannels, s.c - first)};
}

template <class T> kernels::WkvForward<T> forward_of(const Wkv& in, const Sizes& s, const Task& task, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t at = task.row * s.t * s.c + task.first;
  return {.tokens = s.t,
          .channels = task.channels,
          .stride = s.c,
          .key = in.key.data<T>() + at,
          .value = in.value.data<T>() + at,
          .log_rate_C = in.log_rate_C.data<P>() + task.first,
          .bonus_C = in.bonus_C.data<P>() + task.first,
          .state = nullptr,
          .state_stride = s.c,
          .starts = nullptr,
          .out = nullptr,
          .scratch = scratch};
}

}  // namespace

Tensor wkv(Tape& tape, const Wkv& in, const Tensor& given) {
  const auto timing = tape.time("wkv");
  const Shape& x = in.value.shape();
  if (x.rank() != 3 || in.key.shape() != x || in.log_rate_C.elements() != x[2] || in.bonus_C.elements() != x[2])
    throw Error({.who = "wkv",
                 .what = "key " + in.key.shape().text() + ", value " + x.text() + ", log_rate " + in.log_rate_C.shape().text() + " and bonus " +
                         in.bonus_C.shape().text() + " do not fit: expected [B, T, C] twice and [C] twice"});
  const Sizes s{x[0], x[1], x[2]};
  const Shape kept{s.b, 3, s.c};
  if (given && given.shape() != kept) throw Error({.who = "wkv", .what = "a state " + given.shape().text() + ", expected " + kept.text()});
  const DType type = in.value.dtype(), p = parameter_dtype(type);
  const Tensor y = tape.output(x, type, {in.key, in.value, in.log_rate_C, in.bonus_C});
  const Tensor state = given ? given : tape.zeros(kept, p), starts = y.needs_grad() ? tape.empty({s.b, s.chunks(), 3, s.c}, p) : Tensor();
  const Cost cost{.other_flops = 20 * static_cast<double>(in.value.elements()), .bytes = 3 * static_cast<double>(in.value.bytes())};
  tape.count("wkv", cost);
  const auto scratch = static_cast<size_t>(kernels::wkv_scratch());
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      tape.pool().parallel_for(s.b * s.parts(), [&](int64_t i, int thread) {
        const Task task = task_of(i, s);
        auto f = forward_of<T>(in, s, task, tape.pool().scratch(thread, scratch));
        f.state = state.data<P>() + task.row * 3 * s.c + task.first;
        if (starts) f.starts = starts.data<P>() + task.row * s.chunks() * 3 * s.c + task.first;
        f.out = y.data<T>() + task.row * s.t * s.c + task.first;
        kernels::wkv_forward<T>().best().fn(f);
      });
    });
  if (!y.needs_grad()) return y;
  if (given) throw Error({.who = "wkv", .what = "a given state has no gradient", .hint = "train without states"});
  tape.record("wkv", [in, s, starts, dy = y.grad(), type, p, cost, scratch](Tape& t) {
    const Tensor d_out = dy->take();
    if (!d_out) return;
    t.count("wkv", {.other_flops = 3 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor d_key = t.empty(in.key.shape(), type), d_value = t.empty(in.value.shape(), type), d_rate = t.empty({s.b, s.c}, p),
                 d_bonus = t.empty({s.b, s.c}, p);
    const Tensor rate_sum = t.sum_slot(in.log_rate_C.grad()), bonus_sum = t.sum_slot(in.bonus_C.grad());
    if (t.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        t.pool().parallel_for(s.b * s.parts(), [&](int64_t i, int thread) {
          const Task task = task_of(i, s);
          const int64_t at = task.row * s.t * s.c + task.first, vector = task.row * s.c + task.first;
          auto f = forward_of<T>(in, s, task, t.pool().scratch(thread, scratch));
          f.starts = starts.data<P>() + task.row * s.chunks() * 3 * s.c + task.first;
          kernels::wkv_backward<T>().best().fn({.forward = f,
                                                .d_out = d_out.data<T>() + at,
                                                .d_key = d_key.data<T>() + at,
                                                .d_value = d_value.data<T>() + at,
                                                .d_log_rate_C = d_rate.data<P>() + vector,
                                                .d_bonus_C = d_bonus.data<P>() + vector});
        });
        for (const auto& [from, to] : {std::pair(d_rate, rate_sum), std::pair(d_bonus, bonus_sum)})
          for (int64_t row = 0; to && row < s.b; ++row)  // in order
            for (int64_t i = 0; i < s.c; ++i) to.template data<P>()[i] += from.template data<P>()[row * s.c + i];
      });
    t.give(in.key.grad(), d_key);
    t.give(in.value.grad(), d_value);
  });
  return y;
}

}  // namespace gamut::ops
