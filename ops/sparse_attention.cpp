#include "ops/sparse_attention.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/row_sight.h"

namespace gamut::ops {
namespace {

// Positions of the `most` largest of scores[begin … end), in order; `space` holds end − begin numbers.
template <class P> void largest(const P* scores, kernels::KeyRange range, int64_t most, int32_t* space, int32_t* out) {
  const int64_t seen = range.end - range.begin, kept = std::min(seen, most);
  std::iota(space, space + seen, static_cast<int32_t>(range.begin));
  if (kept < seen)
    std::nth_element(space, space + kept, space + seen, [&](int32_t a, int32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  std::sort(space, space + kept);
  std::copy_n(space, kept, out);
  std::fill(out + kept, out + most, -1);
}

struct Sizes {
  int64_t b, t, h, k, s, n, value;
  // Each row of the batch sums its keys' gradients in so many parts of its queries: by the shape alone.
  int64_t parts() const { return std::clamp<int64_t>(16 / b, 1, (t + 63) / 64); }
};

// One query's keys in a row, and the kernel's task over them.
template <class T> struct Gathered {
  T* keys;
  std::byte* rest;
  int64_t count;
};
template <class T> Gathered<T> gather(const Sizes& z, const Tensor& keys, const int32_t* chosen, int64_t row, std::byte* scratch) {
  Gathered<T> g{reinterpret_cast<T*>(scratch), nullptr, 0};
  while (g.count < z.n && chosen[g.count] >= 0) {
    std::memcpy(g.keys + g.count * z.k, keys.data<T>() + (row * z.s + chosen[g.count]) * z.k, static_cast<size_t>(z.k) * sizeof(T));
    ++g.count;
  }
  return g;
}
constexpr size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

template <class T>
kernels::AttentionForward<T> task(const Sizes& z, const Gathered<T>& g, const Tensor& q, const Tensor& out, const Tensor& lse, double scale, int64_t query,
                                  std::byte* scratch) {
  return {.sight = {.causal = false},
          .queries = 1,
          .keys = g.count,
          .offset = 0,
          .group = z.h,
          .head_dim = z.k,
          .value_dim = z.value,
          .scale = static_cast<accumulator<T>>(scale),
          .q = q.data<T>() + query * z.h * z.k,
          .k = g.keys,
          .v = g.keys,
          .q_stride = z.h * z.k,
          .k_stride = z.k,
          .v_stride = z.k,
          .out_stride = z.h * z.value,
          .out = out.data<T>() + query * z.h * z.value,
          .lse = lse.data<accumulator<T>>() + query * z.h,
          .scratch = scratch};
}

}  // namespace

Tensor choose_keys(Tape& tape, const Tensor& q, const Tensor& weight, const Tensor& keys, int64_t count, const Visibility& visibility, int64_t offset,
                   int64_t most) {
  const auto timing = tape.time("choose_keys");
  const Shape &qs = q.shape(), &ks = keys.shape();
  if (qs.rank() != 4 || ks.rank() != 4 || ks[0] != qs[0] || ks[2] != 1 || ks[3] != qs[3] || count > ks[1] || weight.shape() != Shape{qs[0], qs[1], qs[2]})
    throw Error({.who = "choose_keys", .what = "q " + qs.text() + ", weight " + weight.shape().text() + " and keys " + ks.text() + " do not fit"});
  const int64_t b = qs[0], t = qs[1], h = qs[2], k = qs[3];
  const Tensor chosen = tape.empty({b, t, most}, DType::i32);
  const DType p = parameter_dtype(q.dtype());
  tape.count("choose_keys", {.matmul_flops = 2.0 * static_cast<double>(b * t * h * count * k),
                             .other_flops = 3.0 * static_cast<double>(b * t * h * count),
                             .bytes = static_cast<double>(q.bytes() + keys.bytes() + chosen.bytes())});
  const Tensor wide = converted(tape, q, p), all = converted(tape, keys, p);
  const int64_t block = std::clamp<int64_t>((int64_t{1} << 22) / (h * count), 1, t);
  const Tensor products = tape.empty({block * h, count}, p), packed = tape.empty({kernels::packed_bytes(p, k, count)}, DType::u8);
  if (!tape.runs()) return chosen;
  with_float_type(p, [&]<class T>() {
    using P = accumulator<T>;
    for (int64_t row = 0; row < b; ++row) {
      const auto [sight, in_use] = row_sight(visibility, row, count);
      kernels::pack(tape.pool(), p, all.data<P>() + row * ks[1] * k, k, count, 1, k, packed.raw());
      for (int64_t first = 0; first < t; first += block) {
        const int64_t queries = std::min(block, t - first);
        kernels::Gemm problem{.terms = {{wide.data<P>() + (row * t + first) * h * k, k, {p, k, count, packed.raw()}}},
                              .m = queries * h,
                              .n = count,
                              .c = products.raw(),
                              .ldc = count,
                              .c_dtype = p};
        kernels::gemm(tape.pool(), std::span(&problem, 1));
        tape.pool().parallel_for(queries, [&, sight = sight, in_use = in_use](int64_t i, int thread) {
          const size_t scores = aligned(static_cast<size_t>(count) * sizeof(P));
          std::byte* scratch = tape.pool().scratch(thread, scores + static_cast<size_t>(count) * sizeof(int32_t));
          P* score = reinterpret_cast<P*>(scratch);
          const kernels::KeyRange range = kernels::visible_keys(sight, in_use, offset + first + i);
          const P* w = weight.data<P>() + (row * t + first + i) * h;
          std::fill(score + range.begin, score + range.end, P(0));
          for (int64_t head = 0; head < h; ++head) {
            const P* product = products.data<P>() + (i * h + head) * count;
            for (int64_t j = range.begin; j < range.end; ++j) score[j] += w[head] * std::max(product[j], P(0));
          }
          largest(score, range, most, reinterpret_cast<int32_t*>(scratch + scores), chosen.data<int32_t>() + (row * t + first + i) * most);
        });
      }
    }
  });
  return chosen;
}

Tensor sparse_attention(Tape& tape, const Tensor& q, const Tensor& keys, const Tensor& chosen, int64_t value_dim, double scale) {
  const auto timing = tape.time("sparse_attention");
  const Shape &qs = q.shape(), &ks = keys.shape(), &cs = chosen.shape();
  if (qs.rank() != 4 || ks.rank() != 4 || cs.rank() != 3 || ks[0] != qs[0] || ks[2] != 1 || ks[3] != qs[3] || cs[0] != qs[0] || cs[1] != qs[1] ||
      value_dim < 1 || value_dim > ks[3])
    throw Error({.who = "sparse_attention", .what = "q " + qs.text() + ", keys " + ks.text() + " and choices " + cs.text() + " do not fit"});
  const Sizes z{qs[0], qs[1], qs[2], qs[3], ks[1], cs[2], value_dim};
  const DType type = q.dtype(), p = parameter_dtype(type);
  const Tensor out = tape.output({z.b, z.t, z.h * value_dim}, type, {q, keys}), lse = tape.empty({z.b, z.t, z.h}, p);
  const double pairs = static_cast<double>(z.b * z.t * z.h * z.n), per_pair = 2.0 * static_cast<double>(z.k + value_dim),
               rows = static_cast<double>(z.b * z.t * z.n * z.k) * static_cast<double>(size_of(type));
  tape.count("sparse_attention", {.matmul_flops = per_pair * pairs, .other_flops = 6 * pairs, .bytes = rows + static_cast<double>(q.bytes() + out.bytes())});
  const auto kernel = static_cast<size_t>(kernels::attention_scratch(type, 1, z.n, z.h, z.k, value_dim));
  const size_t space = aligned(static_cast<size_t>(z.n * z.k) * size_of(type));
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      tape.pool().parallel_for(z.b * z.t, [&](int64_t query, int thread) {
        std::byte* scratch = tape.pool().scratch(thread, space + kernel);
        const Gathered<T> g = gather<T>(z, keys, chosen.data<int32_t>() + query * z.n, query / z.t, scratch);
        kernels::attention_forward<T>().best().fn(task<T>(z, g, q, out, lse, scale, query, scratch + space));
      });
    });
  if (!out.needs_grad()) return out;
  tape.record("sparse_attention", [=](Tape& t) {
    const Tensor d_out = out.grad()->take();
    if (!d_out) return;
    t.count("sparse_attention", {.matmul_flops = 2 * per_pair * pairs, .other_flops = pairs * (8 + 2.0 * static_cast<double>(z.k)), .bytes = 3 * rows});
    const int64_t parts = z.parts(), row_of_keys = z.s * z.k;
    const Tensor dq = t.empty(q.shape(), type), d_keys = t.empty(keys.shape(), type), d_parts = t.zeros({z.b, parts, row_of_keys}, p);
    if (t.runs())
      with_float_type(type, [&]<class T>() {
        using P = accumulator<T>;
        t.pool().parallel_for(z.b * parts, [&](int64_t i, int thread) {
          const int64_t row = i / parts, part = i % parts;
          std::byte* scratch = t.pool().scratch(thread, 3 * space + kernel);
          T *dk = reinterpret_cast<T*>(scratch + space), *dv = reinterpret_cast<T*>(scratch + 2 * space);
          P* sum = d_parts.data<P>() + i * row_of_keys;
          for (int64_t query = row * z.t + z.t * part / parts; query < row * z.t + z.t * (part + 1) / parts; ++query) {
            const int32_t* named = chosen.data<int32_t>() + query * z.n;
            const Gathered<T> g = gather<T>(z, keys, named, row, scratch);
            const auto f = task<T>(z, g, q, out, lse, scale, query, scratch + 3 * space);
            kernels::attention_backward<T>().best().fn({.forward = f,
                                                        .d_out = d_out.data<T>() + query * z.h * z.value,
                                                        .dq = dq.data<T>() + query * z.h * z.k,
                                                        .dk = dk,
                                                        .dv = dv,
                                                        .scratch = scratch + 3 * space});
            for (int64_t j = 0; j < g.count; ++j) {
              P* to = sum + named[j] * z.k;
              for (int64_t c = 0; c < z.k; ++c) to[c] += static_cast<P>(dk[j * z.k + c]);
              for (int64_t c = 0; c < z.value; ++c) to[c] += static_cast<P>(dv[j * z.k + c]);
            }
          }
        });
        t.pool().parallel_for(z.b * z.s, [&](int64_t at, int) {
          const int64_t row = at / z.s, key = at % z.s;
          for (int64_t c = 0; c < z.k; ++c) {
            P sum = 0;
            for (int64_t part = 0; part < parts; ++part) sum += d_parts.data<P>()[(row * parts + part) * row_of_keys + key * z.k + c];
            d_keys.data<T>()[at * z.k + c] = T(sum);
          }
        });
      });
    t.give(q.grad(), dq);
    t.give(keys.grad(), d_keys);
  });
  return out;
}

}  // namespace gamut::ops
