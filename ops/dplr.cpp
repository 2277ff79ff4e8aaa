#include "ops/dplr.h"

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

struct Sizes {
  int64_t b, t, h, k, v;
  int64_t chunks() const { return (t + kernels::kDplrChunk - 1) / kernels::kDplrChunk; }
};

template <class T> kernels::DplrForward<T> head_of(const Dplr& in, const Sizes& s, int64_t i, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t row = i / s.h * s.t * s.h + i % s.h;  // of the head at the first token
  return {.tokens = s.t, .k = s.k, .v = s.v, .k_stride = s.h * s.k, .v_stride = s.h * s.v, .scale = static_cast<P>(in.scale), .early = in.early, .q = in.q.data<T>() + row * s.k, .key = in.k.data<T>() + row * s.k,
          .value = in.v.data<T>() + row * s.v, .a = in.a ? in.a.data<T>() + row * s.k : nullptr, .b = in.b ? in.b.data<T>() + row * s.k : nullptr,
          .decay = in.decay.data<P>() + row * s.k, .state = nullptr, .starts = nullptr, .out = nullptr, .scratch = scratch};
}

}  // namespace

Tensor dplr(Tape& tape, const Dplr& in, const Tensor& given) {
  const auto timing = tape.time("dplr");
  const Shape &q = in.q.shape(), &v = in.v.shape();
  bool fits = q.rank() == 4 && in.k.shape() == q && in.decay.shape() == q && v.rank() == 4 && v[0] == q[0] && v[1] == q[1] && v[2] == q[2];
  if (in.a) fits = fits && in.b && in.a.shape() == q && in.b.shape() == q;
  if (!fits) throw Error({.who = "dplr", .what = "q " + q.text() + ", k " + in.k.shape().text() + ", v " + v.text() + " and decay " + in.decay.shape().text() + " do not fit together"});
  const Sizes s{q[0], q[1], q[2], q[3], v[3]};
  if (given && given.shape() != Shape{s.b, s.h, s.k, s.v}) throw Error({.who = "dplr", .what = "a state " + given.shape().text() + ", expected " + Shape{s.b, s.h, s.k, s.v}.text()});
  const DType type = in.v.dtype(), p = parameter_dtype(type);
  const Tensor y = tape.output(v, type, {in.q, in.k, in.v, in.a, in.b, in.decay});
  const Tensor state = given ? given : tape.zeros({s.b, s.h, s.k, s.v}, p), starts = y.needs_grad() ? tape.empty({s.b, s.h, s.chunks(), s.k, s.v}, p) : Tensor();
  // Products of a row and the state, and of two rows: a·S, bᵀu, kᵀv, q·S; beside them the decay.
  const double each = static_cast<double>(s.b * s.t * s.h * s.k * s.v);
  const Cost cost{.matmul_flops = (in.a ? 8 : 4) * each, .other_flops = each, .bytes = static_cast<double>((in.a ? 5 : 3) * in.q.bytes() + 2 * in.v.bytes())};
  tape.count("dplr", cost);
  const auto scratch = static_cast<size_t>(kernels::dplr_scratch(type, s.k, s.v));
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      tape.pool().parallel_for(s.b * s.h, [&](int64_t i, int thread) {
        auto f = head_of<T>(in, s, i, tape.pool().scratch(thread, scratch));
        f.state = state.data<P>() + i * s.k * s.v;
        if (starts) f.starts = starts.data<P>() + i * s.chunks() * s.k * s.v;
        f.out = y.data<T>() + (i / s.h * s.t * s.h + i % s.h) * s.v;
        kernels::dplr_forward<T>().best().fn(f);
      });
    });
  if (!y.needs_grad()) return y;
  if (given) throw Error({.who = "dplr", .what = "a given state has no gradient", .hint = "train without states"});
  tape.record("dplr", [in, s, starts, dy = y.grad(), type, p, cost, scratch](Tape& t) {
    const Tensor d_out = dy->take();
    if (!d_out) return;
    t.count("dplr", {.matmul_flops = 3 * cost.matmul_flops, .other_flops = 3 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor dq = t.empty(in.q.shape(), type), dk = t.empty(in.q.shape(), type), dv = t.empty(in.v.shape(), type), d_decay = t.empty(in.q.shape(), p);
    const Tensor da = in.a ? t.empty(in.q.shape(), type) : Tensor(), db = in.a ? t.empty(in.q.shape(), type) : Tensor();
    if (t.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        t.pool().parallel_for(s.b * s.h, [&](int64_t i, int thread) {
          const int64_t row = i / s.h * s.t * s.h + i % s.h;
          auto f = head_of<T>(in, s, i, t.pool().scratch(thread, scratch));
          f.starts = starts.data<P>() + i * s.chunks() * s.k * s.v;
          kernels::dplr_backward<T>().best().fn({.forward = f, .d_out = d_out.data<T>() + row * s.v, .d_q = dq.data<T>() + row * s.k, .d_key = dk.data<T>() + row * s.k,
              .d_value = dv.data<T>() + row * s.v, .d_a = da ? da.data<T>() + row * s.k : nullptr, .d_b = db ? db.data<T>() + row * s.k : nullptr, .d_decay = d_decay.data<P>() + row * s.k});
        });
      });
    t.give(in.q.grad(), dq);
    t.give(in.k.grad(), dk);
    t.give(in.v.grad(), dv);
    t.give(in.decay.grad(), d_decay);
    if (!in.a) return;
    t.give(in.a.grad(), da);
    t.give(in.b.grad(), db);
  });
  return y;
}

Tensor add_bonus(Tape& tape, const Tensor& x, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u) {
  if (u.shape().rank() != 2 || q.elements() % u.elements() != 0 || q.elements() != k.elements() || x.elements() != v.elements() || x.elements() / v.width() != q.elements() / q.width())
    throw Error({.who = "add_bonus", .what = "q " + q.shape().text() + ", k " + k.shape().text() + ", v " + v.shape().text() + " and u " + u.shape().text() + " do not fit together"});
  const int64_t h = u.shape()[0], kk = u.shape()[1], vv = v.width(), rows = q.elements() / (h * kk);
  const Tensor y = tape.output(x.shape(), x.dtype(), {x, q, k, v, u});
  const Cost cost{.other_flops = static_cast<double>(3 * q.elements() + 2 * v.elements()), .bytes = static_cast<double>(2 * q.bytes() + 3 * v.bytes())};
  tape.count("bonus", cost);
  if (tape.runs())
    with_float_type(x.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      for_row_blocks(tape, rows, [&](int64_t first, int64_t count, int) {
        for (int64_t n = first * h; n < (first + count) * h; ++n) {
          P dot = 0;
          for (int64_t i = 0; i < kk; ++i) dot += static_cast<P>(q.data<T>()[n * kk + i]) * u.data<P>()[n % h * kk + i] * static_cast<P>(k.data<T>()[n * kk + i]);
          for (int64_t j = n * vv; j < (n + 1) * vv; ++j) y.data<T>()[j] = static_cast<T>(static_cast<P>(x.data<T>()[j]) + dot * static_cast<P>(v.data<T>()[j]));
        }
      });
    });
  if (!y.needs_grad()) return y;
  tape.record("bonus", [=, dy = y.grad(), x_cell = x.grad()](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("bonus", {.other_flops = 3 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor dq = t.empty(q.shape(), q.dtype()), dk = t.empty(k.shape(), k.dtype()), dv = t.empty(v.shape(), v.dtype()), du = t.sum_slot(u.grad());
    with_float_type(q.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      const std::vector<Tensor> sums = du ? std::vector{du} : std::vector<Tensor>();
      sum_over_rows<P>(t, rows, sums, [&](int64_t first, int64_t count, P* const* partial) {
        for (int64_t n = first * h; n < (first + count) * h; ++n) {
          const P* u_K = u.data<P>() + n % h * kk;
          P dot = 0, d_dot = 0;
          for (int64_t i = 0; i < kk; ++i) dot += static_cast<P>(q.data<T>()[n * kk + i]) * u_K[i] * static_cast<P>(k.data<T>()[n * kk + i]);
          for (int64_t j = n * vv; j < (n + 1) * vv; ++j) {
            const P d = static_cast<P>(g.data<T>()[j]);
            d_dot += d * static_cast<P>(v.data<T>()[j]);
            dv.data<T>()[j] = static_cast<T>(d * dot);
          }
          for (int64_t i = 0; i < kk; ++i) {
            const P q_i = static_cast<P>(q.data<T>()[n * kk + i]), k_i = static_cast<P>(k.data<T>()[n * kk + i]);
            dq.data<T>()[n * kk + i] = static_cast<T>(d_dot * u_K[i] * k_i);
            dk.data<T>()[n * kk + i] = static_cast<T>(d_dot * u_K[i] * q_i);
            if (du) partial[0][n % h * kk + i] += d_dot * q_i * k_i;
          }
        }
      });
    });
    t.give(x_cell, g);
    t.give(q.grad(), dq);
    t.give(k.grad(), dk);
    t.give(v.grad(), dv);
  });
  return y;
}

}  // namespace gamut::ops
