#include "ops/linear_attention.h"

#include <algorithm>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

struct Sizes {
  int64_t b, t, g, h, k, v, parts;  // each query/key head's value heads are split into parts: one task each
  int64_t tasks() const { return b * g * parts; }
  int64_t chunks() const { return (t + kernels::kAttentionChunk - 1) / kernels::kAttentionChunk; }
};

// At least sixteen tasks where there are heads enough; decided by the shape alone, as the parts' gradients are summed.
Sizes sizes_of(const LinearAttention& in) {
  const Shape &q = in.q.shape(), &v = in.v.shape();
  Sizes s{q[0], q[1], q[2], v[2], q[3], v[3], 1};
  s.parts = std::clamp<int64_t>(16 / std::max<int64_t>(1, s.b * s.g), 1, (s.h / s.g + 3) / 4);
  return s;
}

struct Task {
  int64_t row, group, first, heads, part;  // first and heads: value heads
};
Task task_of(int64_t i, const Sizes& s) {
  const int64_t part = i % s.parts, group = i / s.parts % s.g, shared = s.h / s.g, begin = shared * part / s.parts, end = shared * (part + 1) / s.parts;
  return {i / s.parts / s.g, group, group * shared + begin, end - begin, part};
}

template <class T> kernels::LinearAttentionForward<T> forward_of(const LinearAttention& in, const Sizes& s, const Task& task, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t row = task.row * s.t;
  const int64_t decay_stride = in.decay && in.decay.shape().rank() > 1 ? s.h : 0;
  return {.tokens = s.t, .heads = task.heads, .k = s.k, .v = s.v, .delta = in.delta, .scale = static_cast<P>(in.scale),
          .q = in.q.data<T>() + (row * s.g + task.group) * s.k, .key = in.k.data<T>() + (row * s.g + task.group) * s.k,
          .value = in.v.data<T>() + (row * s.h + task.first) * s.v, .q_stride = s.g * s.k, .k_stride = s.g * s.k, .v_stride = s.h * s.v, .gate_stride = s.h, .decay_stride = decay_stride,
          .decay = in.decay ? in.decay.data<P>() + row * decay_stride + task.first : nullptr, .beta = in.beta ? in.beta.data<P>() + row * s.h + task.first : nullptr, .skip_H = in.skip_H ? in.skip_H.data<P>() + task.first : nullptr, .state = nullptr, .starts = nullptr,
          .out = nullptr, .out_stride = s.h * s.v, .scratch = scratch};
}

// Products of matrices per token and value head, as the chunked form makes them.
double products(const LinearAttention& in, const Sizes& s) {
  const double c = static_cast<double>(std::min(s.t, kernels::kAttentionChunk)) / 2, k = static_cast<double>(s.k), v = static_cast<double>(s.v), delta = in.delta ? 1 : 0;
  return 2 * static_cast<double>(s.b * s.t * s.h) * (c * k * (1 + delta) + k * v * (2 + delta) + c * v * (1 + delta));
}

void check(const LinearAttention& in, const Tensor& state) {
  const Shape &q = in.q.shape(), &k = in.k.shape(), &v = in.v.shape();
  const bool fits = q.rank() == 4 && q == k && v.rank() == 4 && v[0] == q[0] && v[1] == q[1] && v[2] % q[2] == 0;
  if (!fits) throw Error({.who = "linear_attention", .what = "q " + q.text() + ", k " + k.text() + " and v " + v.text() + " do not fit: expected [B, T, G, K] twice and [B, T, H, V] with G dividing H"});
  const Shape gate{v[0], v[1], v[2]}, kept{v[0], v[2], q[3], v[3]};
  const bool constant = in.decay && in.decay.shape() == Shape{v[2]} && !in.decay.needs_grad();
  for (const Tensor& t : {constant ? Tensor() : in.decay, in.beta})
    if (t && t.shape() != gate) throw Error({.who = "linear_attention", .what = "a gate " + t.shape().text() + ", expected " + gate.text()});
  if (in.skip_H && in.skip_H.elements() != v[2]) throw Error({.who = "linear_attention", .what = "skip " + in.skip_H.shape().text() + ", expected one number for each of " + std::to_string(v[2]) + " heads"});
  if (state && state.shape() != kept) throw Error({.who = "linear_attention", .what = "a state " + state.shape().text() + ", expected " + kept.text()});
}

}  // namespace

Tensor linear_attention(Tape& tape, const LinearAttention& in, const Tensor& given) {
  const auto timing = tape.time("linear_attention");
  check(in, given);
  const Sizes s = sizes_of(in);
  const DType type = in.v.dtype(), p = parameter_dtype(type);
  const Tensor y = tape.output(in.v.shape(), type, {in.q, in.k, in.v, in.decay, in.beta, in.skip_H});
  const Tensor state = given ? given : tape.zeros({s.b, s.h, s.k, s.v}, p);
  const Tensor starts = y.needs_grad() ? tape.empty({s.b, s.h, s.chunks(), s.k, s.v}, p) : Tensor();
  const double flops = products(in, s);
  const double bytes = static_cast<double>(in.q.bytes() + in.k.bytes() + in.v.bytes() + y.bytes() + state.bytes() * 2);
  tape.count("linear_attention", {.matmul_flops = flops, .bytes = bytes});
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      const auto bytes_needed = static_cast<size_t>(kernels::linear_attention_scratch(type, s.k, s.v));
      tape.pool().parallel_for(s.tasks(), [&](int64_t i, int thread) {
        const Task task = task_of(i, s);
        auto a = forward_of<T>(in, s, task, tape.pool().scratch(thread, bytes_needed));
        a.state = state.data<P>() + (task.row * s.h + task.first) * s.k * s.v;
        if (starts) a.starts = starts.data<P>() + (task.row * s.h + task.first) * s.chunks() * s.k * s.v;
        a.out = y.data<T>() + (task.row * s.t * s.h + task.first) * s.v;
        kernels::linear_attention_forward<T>().best().fn(a);
      });
    });
  if (!y.needs_grad()) return y;
  if (given) throw Error({.who = "linear_attention", .what = "a given state has no gradient", .hint = "train without states"});
  tape.record("linear_attention", [in, s, starts, dy = y.grad(), type, p, flops, bytes](Tape& t) {
    const Tensor d_out = dy->take();
    if (!d_out) return;
    t.count("linear_attention", {.matmul_flops = 2.5 * flops, .bytes = 2 * bytes});
    // Parts of a group each have their own gradient of q and k.
    const Tensor dq = t.empty({s.parts, s.b, s.t, s.g, s.k}, p), dk = t.empty({s.parts, s.b, s.t, s.g, s.k}, p), dv = t.empty(in.v.shape(), type);
    const Tensor d_decay = in.decay && in.decay.needs_grad() ? t.empty(in.decay.shape(), p) : Tensor(), d_beta = in.beta ? t.empty(in.beta.shape(), p) : Tensor();
    const Tensor d_skip = in.skip_H ? t.empty({s.b, s.h}, p) : Tensor();
    const Tensor dq_sum = t.empty(in.q.shape(), type), dk_sum = t.empty(in.k.shape(), type);
    const Tensor skip_sum = in.skip_H ? t.sum_slot(in.skip_H.grad()) : Tensor();
    if (t.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        const auto bytes_needed = static_cast<size_t>(kernels::linear_attention_scratch(type, s.k, s.v));
        t.pool().parallel_for(s.tasks(), [&](int64_t i, int thread) {
          const Task task = task_of(i, s);
          const int64_t row = task.row * s.t, at = ((task.part * s.b + task.row) * s.t * s.g + task.group) * s.k, out = (row * s.h + task.first) * s.v;
          auto a = forward_of<T>(in, s, task, t.pool().scratch(thread, bytes_needed));
          a.starts = starts.data<P>() + (task.row * s.h + task.first) * s.chunks() * s.k * s.v;
          const auto gate = [&](const Tensor& g) { return g ? g.data<P>() + row * s.h + task.first : nullptr; };
          kernels::linear_attention_backward<T>().best().fn({.forward = a, .d_out = d_out.data<T>() + out, .d_q = dq.data<P>() + at, .d_key = dk.data<P>() + at, .dq_stride = s.g * s.k,
              .d_value = dv.data<T>() + out, .d_decay = gate(d_decay), .d_beta = gate(d_beta), .d_skip_H = d_skip ? d_skip.data<P>() + task.row * s.h + task.first : nullptr});
        });
        const int64_t width = s.g * s.k, part = s.b * s.t * width;
        for_row_blocks(t, s.b * s.t, [&](int64_t first, int64_t rows, int) {
          for (const auto& [parts, sum] : {std::pair(dq.data<P>(), dq_sum.data<T>()), std::pair(dk.data<P>(), dk_sum.data<T>())})
            for (int64_t i = first * width; i < (first + rows) * width; ++i) {
              P x = parts[i];
              for (int64_t n = 1; n < s.parts; ++n) x += parts[n * part + i];
              sum[i] = static_cast<T>(x);
            }
        });
        if (skip_sum)
          for (int64_t row = 0; row < s.b; ++row)
            for (int64_t h = 0; h < s.h; ++h) skip_sum.data<P>()[h] += d_skip.data<P>()[row * s.h + h];
      });
    t.give(in.q.grad(), dq_sum);
    t.give(in.k.grad(), dk_sum);
    t.give(in.v.grad(), dv);
    if (d_decay) t.give(in.decay.grad(), d_decay);
    if (in.beta) t.give(in.beta.grad(), d_beta);
  });
  return y;
}

}  // namespace gamut::ops
