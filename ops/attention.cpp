#include "ops/attention.h"

#include <algorithm>

#include "base/error.h"

namespace gamut::ops {
namespace {

struct Geometry {
  int64_t batch, queries, rows_k, keys, heads, groups, head_dim, value_dim, offset;
  int64_t per_group() const { return heads / groups; }
};

// Pairs (query, visible key) of one head: what is multiplied.
double visible_pairs(const Geometry& g, const kernels::Sight& sight) {
  double pairs = 0;
  for (int64_t i = 0; i < g.queries; ++i) {
    const int64_t position = g.offset + i;
    const int64_t end = sight.causal ? std::min(g.keys, std::max(position + 1, sight.prefix)) : g.keys;
    const int64_t begin = sight.window > 0 ? std::max<int64_t>(0, position - sight.window + 1) : 0;
    pairs += static_cast<double>(std::max<int64_t>(0, end - begin));
  }
  return pairs;
}

template <class T>
kernels::AttentionForward<T> task(const Geometry& g, const kernels::Sight& sight, double scale, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const Tensor& out, const Tensor& lse, int64_t b, int64_t group, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t n = g.per_group();
  return {.sight = sight, .queries = g.queries, .keys = g.keys, .offset = g.offset, .group = n, .head_dim = g.head_dim, .value_dim = g.value_dim,
          .scale = static_cast<P>(scale),
          .q = q.data<T>() + b * g.queries * g.heads * g.head_dim + group * n * g.head_dim,
          .k = k.data<T>() + b * g.rows_k * g.groups * g.head_dim + group * g.head_dim,
          .v = v.data<T>() + b * g.rows_k * g.groups * g.value_dim + group * g.value_dim,
          .q_stride = g.heads * g.head_dim, .k_stride = g.groups * g.head_dim, .v_stride = g.groups * g.value_dim,
          .out_stride = g.heads * g.value_dim,
          .out = out.data<T>() + b * g.queries * g.heads * g.value_dim + group * n * g.value_dim,
          .lse = lse.data<P>() + (b * g.heads + group * n) * g.queries, .scratch = scratch};
}

}  // namespace

Tensor attention(Tape& tape, const Tensor& q, const Tensor& k, const Tensor& v, const kernels::Sight& sight, double scale, int64_t offset,
                 int64_t keys) {
  const auto timing = tape.time("attention");
  const Shape &qs = q.shape(), &ks = k.shape(), &vs = v.shape();
  if (qs.rank() != 4 || ks.rank() != 4 || vs.rank() != 4 || qs[0] != ks[0] || ks[0] != vs[0] || ks[1] != vs[1] || ks[2] != vs[2] ||
      qs[3] != ks[3] || qs[2] % ks[2] != 0 || keys > ks[1])
    throw Error({.who = "attention", .what = "q " + qs.text() + ", k " + ks.text() + " and v " + vs.text() + " do not fit"});
  const Geometry g{qs[0], qs[1], ks[1], keys < 0 ? ks[1] : keys, qs[2], ks[2], qs[3], vs[3], offset};
  Tensor out = tape.output({g.batch, g.queries, g.heads * g.value_dim}, q.dtype(), {q, k, v});
  Tensor lse = tape.empty({g.batch, g.heads, g.queries}, parameter_dtype(q.dtype()));
  const double pairs = visible_pairs(g, sight) * static_cast<double>(g.batch * g.heads);
  const double per_pair = 2.0 * static_cast<double>(g.head_dim + g.value_dim);
  tape.count("attention", {.matmul_flops = per_pair * pairs, .other_flops = 6 * pairs, .bytes = static_cast<double>(q.bytes() + k.bytes() + v.bytes() + out.bytes())});
  const int64_t scratch = kernels::attention_scratch(q.dtype(), g.queries, g.keys, g.per_group(), g.head_dim, g.value_dim);
  if (tape.runs())
    with_float_type(q.dtype(), [&]<class T>() {
      tape.pool().parallel_for(g.batch * g.groups, [&](int64_t i, int thread) {
        kernels::attention_forward<T>().best().fn(task<T>(g, sight, scale, q, k, v, out, lse, i / g.groups, i % g.groups, tape.pool().scratch(thread, static_cast<size_t>(scratch))));
      });
    });

  if (out.needs_grad())
    tape.record("attention", [g, sight, scale, q, k, v, out_value = out, lse, scratch, pairs](Tape& t) {
      const Tensor d_out = out_value.grad()->take();
      if (!d_out) return;
      // Gradients with respect to all three come in one sweep; unwanted ones land in temporaries.
      // Keys beyond those in use are not visited.
      const auto sized = [&](const Tensor& like) { return g.keys < g.rows_k ? t.zeros(like.shape(), like.dtype()) : t.empty(like.shape(), like.dtype()); };
      const Tensor dq = t.empty(q.shape(), q.dtype()), dk = sized(k), dv = sized(v);
      // Model FLOPs: the scores recomputed here count as other work, so that shares of peak do not reward recomputation.
      t.count("attention", {.matmul_flops = 4.0 * pairs * static_cast<double>(g.head_dim + g.value_dim), .other_flops = pairs * (8 + 2.0 * static_cast<double>(g.head_dim)),
                            .bytes = 2 * static_cast<double>(q.bytes() + k.bytes() + v.bytes() + d_out.bytes())});
      if (t.runs())
        with_float_type(q.dtype(), [&]<class T>() {
          t.pool().parallel_for(g.batch * g.groups, [&](int64_t i, int thread) {
            const int64_t b = i / g.groups, group = i % g.groups;
            std::byte* space = t.pool().scratch(thread, static_cast<size_t>(scratch));
            const auto f = task<T>(g, sight, scale, q, k, v, out_value, lse, b, group, space);
            kernels::attention_backward<T>().best().fn({.forward = f, .d_out = d_out.data<T>() + (f.out - out_value.data<T>()),
                .dq = dq.data<T>() + (f.q - q.data<T>()), .dk = dk.data<T>() + (f.k - k.data<T>()), .dv = dv.data<T>() + (f.v - v.data<T>()),
                .scratch = space});
          });
        });
      t.give(q.grad(), dq);
      t.give(k.grad(), dk);
      t.give(v.grad(), dv);
    });
  return out;
}

}  // namespace gamut::ops
