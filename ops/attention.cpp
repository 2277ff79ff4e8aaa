#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/row_sight.h"

namespace gamut::ops {
namespace {

struct Geometry {
  int64_t batch, queries, rows_k, keys, heads, groups, head_dim, value_dim, offset;
  int64_t per_group() const { return heads / groups; }
};

// Pairs (query, visible key) of one head in all rows: what is multiplied. On shapes alone rows do not differ.
double visible_pairs(const Geometry& g, const Visibility& visibility, bool known) {
  double pairs = 0;
  const bool differ = visibility && known;
  for (int64_t b = 0; b < (differ ? g.batch : 1); ++b) {
    const RowSight row = differ ? row_sight(visibility, b, g.keys) : RowSight{visibility.sight, g.keys};
    for (int64_t i = 0; i < g.queries; ++i) {
      if (!known && visibility.prefix_B) {
        pairs += static_cast<double>(g.keys);
        continue;
      }
      const kernels::KeyRange range = kernels::visible_keys(row.sight, row.keys, g.offset + i);
      pairs += static_cast<double>(range.end - range.begin);
    }
  }
  return differ ? pairs : pairs * static_cast<double>(g.batch);
}

template <class T>
kernels::AttentionForward<T> task(const Geometry& g, const Visibility& visibility, const AttentionScores& scores, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const Tensor& out, const Tensor& lse, int64_t b, int64_t group, std::byte* scratch) {
  using P = accumulator<T>;
  const int64_t n = g.per_group();
  const RowSight row = row_sight(visibility, b, g.keys);
  const Tensor& bias = scores.bias.value_HR;
  return {.sight = row.sight, .queries = g.queries, .keys = row.keys, .offset = g.offset, .group = n, .head_dim = g.head_dim, .value_dim = g.value_dim,
          .scale = static_cast<P>(scores.scale),
          .q = q.data<T>() + b * g.queries * g.heads * g.head_dim + group * n * g.head_dim,
          .k = k.data<T>() + b * g.rows_k * g.groups * g.head_dim + group * g.head_dim,
          .v = v ? v.data<T>() + b * g.rows_k * g.groups * g.value_dim + group * g.value_dim : k.data<T>() + b * g.rows_k * g.groups * g.head_dim + group * g.head_dim,
          .q_stride = g.heads * g.head_dim, .k_stride = g.groups * g.head_dim, .v_stride = g.groups * (v ? g.value_dim : g.head_dim),
          .out_stride = g.heads * g.value_dim,
          .out = out.data<T>() + b * g.queries * g.heads * g.value_dim + group * n * g.value_dim,
          .lse = lse.data<P>() + (b * g.heads + group * n) * g.queries, .scratch = scratch,
          .softcap = static_cast<P>(scores.softcap),
          .bias = bias ? bias.data<P>() + group * n * bias.width() - scores.bias.low : nullptr, .bias_stride = bias ? bias.width() : 0,
          .sink = scores.sink_H ? scores.sink_H.data<P>() + group * n : nullptr};
}

// sum_X (+)= the sum over rows of a batch of parts_BX, row by row.
template <class P> void sum_parts(Tape& tape, const Tensor& parts, int64_t batch, const GradSlot& slot) {
  const int64_t n = slot.grad.elements();
  constexpr int64_t kBlock = 4096;
  tape.pool().parallel_for((n + kBlock - 1) / kBlock, [&](int64_t block, int) {
    for (int64_t x = block * kBlock; x < std::min(n, (block + 1) * kBlock); ++x) {
      P sum = slot.accumulate ? slot.grad.data<P>()[x] : P(0);
      for (int64_t b = 0; b < batch; ++b) sum += parts.data<P>()[b * n + x];
      slot.grad.data<P>()[x] = sum;
    }
  });
}

// A sink of weight p = exp(sink − lse) in a row of the softmax, which carries no value: its gradient is −p·⟨d_out, out⟩.
template <class T> void sink_gradient(Tape& tape, const Geometry& g, const Tensor& sink, const Tensor& out, const Tensor& d_out, const Tensor& lse, const Tensor& parts) {
  using P = accumulator<T>;
  tape.pool().parallel_for(g.batch * g.heads, [&](int64_t row, int) {
    const int64_t b = row / g.heads, h = row % g.heads;
    P sum = 0;
    for (int64_t i = 0; i < g.queries; ++i) {
      const int64_t at = ((b * g.queries + i) * g.heads + h) * g.value_dim;
      P inner = 0;
      for (int64_t c = at; c < at + g.value_dim; ++c) inner += static_cast<P>(out.data<T>()[c]) * static_cast<P>(d_out.data<T>()[c]);
      sum -= std::exp(sink.data<P>()[h] - lse.data<P>()[row * g.queries + i]) * inner;
    }
    parts.data<P>()[row] = sum;
  });
}

}  // namespace

RowSight row_sight(const Visibility& visibility, int64_t b, int64_t keys) {
  RowSight row{visibility.sight, keys};
  const auto take = [&](const Tensor& per_row, int64_t& value) {
    if (per_row) value = std::clamp<int64_t>(per_row.data<int32_t>()[b], 0, keys);
  };
  take(visibility.keys_B, row.keys);
  take(visibility.first_B, row.sight.first);
  take(visibility.prefix_B, row.sight.prefix);
  return row;
}

Distances occurring_distances(const Visibility& visibility, int64_t queries, int64_t keys, int64_t offset) {
  const kernels::Sight& sight = visibility.sight;
  const bool ahead = !sight.causal || sight.prefix > 0 || visibility.prefix_B;
  Distances d{-(offset + queries - 1), std::max<int64_t>(0, ahead ? keys - 1 - offset : sight.block > 0 ? sight.block - 1 : 0)};
  for (const int64_t most : {sight.window, sight.chunk})
    if (most > 0) d = {std::max(d.low, 1 - most), std::min(d.high, most - 1)};
  return d;
}

Tensor attention(Tape& tape, const Tensor& q, const Tensor& k, const Tensor& v, const Visibility& visibility, const AttentionScores& scores, int64_t offset, int64_t keys, int64_t value_dim) {
  const auto timing = tape.time("attention");
  const Shape &qs = q.shape(), &ks = k.shape(), vs = v ? v.shape() : Shape{ks[0], ks[1], ks[2], value_dim};
  if (qs.rank() != 4 || ks.rank() != 4 || vs.rank() != 4 || qs[0] != ks[0] || ks[0] != vs[0] || ks[1] != vs[1] || ks[2] != vs[2] ||
      qs[3] != ks[3] || qs[2] % ks[2] != 0 || keys > ks[1] || (!v && (value_dim < 1 || value_dim > ks[3] || q.needs_grad() || k.needs_grad())))
    throw Error({.who = "attention", .what = "q " + qs.text() + ", k " + ks.text() + " and v " + vs.text() + " do not fit"});
  const Geometry g{qs[0], qs[1], ks[1], keys < 0 ? ks[1] : keys, qs[2], ks[2], qs[3], vs[3], offset};
  const Tensor &bias = scores.bias.value_HR, &sink = scores.sink_H;
  const Distances distances = occurring_distances(visibility, g.queries, g.keys, offset);
  if (bias && (bias.rows() != g.heads || scores.bias.low > distances.low || scores.bias.low + bias.width() <= distances.high))
    throw Error({.who = "attention", .what = "a bias " + bias.shape().text() + " from distance " + std::to_string(scores.bias.low) + " does not cover " + std::to_string(g.heads) +
                                             " heads and distances " + std::to_string(distances.low) + " to " + std::to_string(distances.high)});
  if (sink && sink.elements() != g.heads) throw Error({.who = "attention", .what = "sinks " + sink.shape().text() + " for " + std::to_string(g.heads) + " heads"});
  for (const Tensor& per_row : {visibility.keys_B, visibility.first_B, visibility.prefix_B})
    if (per_row && per_row.elements() != g.batch)
      throw Error({.who = "attention", .what = "what rows see is told for " + std::to_string(per_row.elements()) + " rows, the batch has " + std::to_string(g.batch)});
  std::vector<Tensor> inputs{q, k};
  for (const Tensor& t : {v, bias, sink})
    if (t) inputs.push_back(t);
  Tensor out = tape.output({g.batch, g.queries, g.heads * g.value_dim}, q.dtype(), inputs);
  Tensor lse = tape.empty({g.batch, g.heads, g.queries}, parameter_dtype(q.dtype()));
  const double pairs = visible_pairs(g, visibility, tape.runs()) * static_cast<double>(g.heads);
  const double per_pair = 2.0 * static_cast<double>(g.head_dim + g.value_dim), changes = (scores.softcap > 0 ? 3 : 0) + (bias ? 1 : 0);
  tape.count("attention", {.matmul_flops = per_pair * pairs, .other_flops = (6 + changes) * pairs, .bytes = static_cast<double>(q.bytes() + k.bytes() + (v ? v.bytes() : 0) + out.bytes())});
  const auto scratch = static_cast<size_t>(kernels::attention_scratch(q.dtype(), g.queries, g.keys, g.per_group(), g.head_dim, g.value_dim, static_cast<bool>(bias)));
  if (tape.runs())
    with_float_type(q.dtype(), [&]<class T>() {
      tape.pool().parallel_for(g.batch * g.groups, [&](int64_t i, int thread) {
        kernels::attention_forward<T>().best().fn(task<T>(g, visibility, scores, q, k, v, out, lse, i / g.groups, i % g.groups, tape.pool().scratch(thread, scratch)));
      });
    });

  if (out.needs_grad())
    tape.record("attention", [g, visibility, scores, bias, sink, q, k, v, out_value = out, lse, scratch, pairs, changes](Tape& t) {
      const Tensor d_out = out_value.grad()->take();
      if (!d_out) return;
      // Gradients with respect to all three come in one sweep; unwanted ones land in temporaries.
      // Keys beyond those in use are not visited.
      const bool some_keys = g.keys < g.rows_k || visibility.keys_B;
      const auto sized = [&](const Tensor& like) { return some_keys ? t.zeros(like.shape(), like.dtype()) : t.empty(like.shape(), like.dtype()); };
      const Tensor dq = t.empty(q.shape(), q.dtype()), dk = sized(k), dv = sized(v);
      const DType p = parameter_dtype(q.dtype());
      const Tensor d_bias = bias.needs_grad() ? t.zeros({g.batch, bias.rows(), bias.width()}, p) : Tensor();  // of each row of the batch
      const Tensor d_sink = sink.needs_grad() ? t.empty({g.batch, g.heads}, p) : Tensor();
      // Model FLOPs: the scores recomputed here count as other work, so that shares of peak do not reward recomputation.
      t.count("attention", {.matmul_flops = 4.0 * pairs * static_cast<double>(g.head_dim + g.value_dim), .other_flops = pairs * (8 + 2 * changes + 2.0 * static_cast<double>(g.head_dim)),
                            .bytes = 2 * static_cast<double>(q.bytes() + k.bytes() + v.bytes() + d_out.bytes())});
      const GradSlot bias_slot = t.slot(d_bias ? bias.grad() : nullptr), sink_slot = t.slot(d_sink ? sink.grad() : nullptr);
      if (t.runs())
        with_float_type(q.dtype(), [&]<class T>() {
          using P = accumulator<T>;
          t.pool().parallel_for(g.batch * g.groups, [&](int64_t i, int thread) {
            const int64_t b = i / g.groups, group = i % g.groups;
            std::byte* space = t.pool().scratch(thread, scratch);
            const auto f = task<T>(g, visibility, scores, q, k, v, out_value, lse, b, group, space);
            kernels::attention_backward<T>().best().fn({.forward = f, .d_out = d_out.data<T>() + (f.out - out_value.data<T>()),
                .dq = dq.data<T>() + (f.q - q.data<T>()), .dk = dk.data<T>() + (f.k - k.data<T>()), .dv = dv.data<T>() + (f.v - v.data<T>()),
                .scratch = space, .d_bias = d_bias ? d_bias.data<P>() + b * bias.elements() + (f.bias - bias.data<P>()) : nullptr});
          });
          if (d_bias) sum_parts<P>(t, d_bias, g.batch, bias_slot);
          if (d_sink) {
            sink_gradient<T>(t, g, sink, out_value, d_out, lse, d_sink);
            sum_parts<P>(t, d_sink, g.batch, sink_slot);
          }
        });
      t.give(q.grad(), dq);
      t.give(k.grad(), dk);
      t.give(v.grad(), dv);
    });
  return out;
}

}  // namespace gamut::ops
