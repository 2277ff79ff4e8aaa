#include "kernels/attention.h"

#include <algorithm>

#include "kernels/attention_tiled.h"
#include "kernels/ref/attention.h"
#include "kernels/ref/gemm_tiles.h"
#include "kernels/simd/attention_layout.h"
#include "row_cases.h"

namespace gamut::kernels {
namespace {

struct Case {
  int64_t queries, keys, offset, group, head_dim, value_dim;
  Sight sight;
  double softcap = 0;
  bool bias = false, sink = false;
  std::string text() const {
    return "queries " + std::to_string(queries) + " keys " + std::to_string(keys) + " offset " + std::to_string(offset) +
           " group " + std::to_string(group) + " head_dim " + std::to_string(head_dim) + " value_dim " +
           std::to_string(value_dim) + (sight.causal ? " causal" : "") + " window " + std::to_string(sight.window) + " prefix " +
           std::to_string(sight.prefix) + " block " + std::to_string(sight.block) + " chunk " + std::to_string(sight.chunk) + " first " +
           std::to_string(sight.first) + " softcap " + std::to_string(softcap) + (bias ? " bias" : "") + (sink ? " sink" : "");
  }
};

// One problem with its tensors inside wider ones: two kv heads beside each other, this being the second.
template <class T> struct Problem {
  using P = accumulator<T>;
  Case c;
  int64_t q_stride, k_stride, v_stride, out_stride;
  Span<T> q, k, v, out, d_out, dq, dk, dv;
  Span<P> lse, bias, d_bias, sink;
  int64_t bias_stride;
  std::vector<std::byte> memory;

  Problem(const Case& shape, int64_t shift, double spread = 1.5)
      : c(shape),
        q_stride(2 * c.group * c.head_dim),
        k_stride(2 * c.head_dim),
        v_stride(2 * c.value_dim),
        out_stride(2 * c.group * c.value_dim),
        q(numbers<bf16>(c.queries * q_stride, 1, -spread, spread), shift),
        k(numbers<bf16>(c.keys * k_stride, 2, -spread, spread), 1),
        v(numbers<bf16>(c.keys * v_stride, 3), shift),
        out(c.queries * out_stride, 1),
        d_out(numbers<bf16>(c.queries * out_stride, 4), 1),
        dq(c.queries * q_stride, 1),
        dk(c.keys * k_stride),
        dv(c.keys * v_stride),
        lse(c.group * c.queries),
        bias(c.group * (c.offset + c.queries + c.keys), 1),
        d_bias(c.group * (c.offset + c.queries + c.keys)),
        sink(numbers<bf16>(c.group, 6), 1),
        bias_stride(c.offset + c.queries + c.keys),
        memory(static_cast<size_t>(scratch_bytes()) + 128, std::byte{0xff}) {
    // Biases of distances at which no key is visible stay NaN.
    const auto values = numbers<bf16>(bias.size(), 5);
    for (int64_t i = 0; i < c.queries; ++i) {
      const KeyRange range = visible_keys(c.sight, c.keys, c.offset + i);
      for (int64_t j = range.begin; j < range.end; ++j)
        for (int64_t g = 0; g < c.group; ++g) {
          const int64_t at = g * bias_stride + nearest() + j - c.offset - i;
          bias[at] = static_cast<P>(values[static_cast<size_t>(at)]);
          d_bias[at] = 0;
        }
    }
  }

  int64_t nearest() const { return c.offset + c.queries; }  // where a head's bias of distance 0 stands
  int64_t scratch_bytes() const { return attention_scratch(DTypeOf<T>::value, c.queries, c.keys, c.group, c.head_dim, c.value_dim, c.bias); }

  std::byte* scratch() { return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64); }
  bool scratch_respected() {
    return std::all_of(scratch() + scratch_bytes(), memory.data() + memory.size(), [](std::byte b) { return b == std::byte{0xff}; });
  }
  AttentionForward<T> forward() {
    return {.sight = c.sight,
            .queries = c.queries,
            .keys = c.keys,
            .offset = c.offset,
            .group = c.group,
            .head_dim = c.head_dim,
            .value_dim = c.value_dim,
            .scale = static_cast<P>(1 / std::sqrt(static_cast<double>(c.head_dim))),
            .q = q.data() + c.group * c.head_dim,
            .k = k.data() + c.head_dim,
            .v = v.data() + c.value_dim,
            .q_stride = q_stride,
            .k_stride = k_stride,
            .v_stride = v_stride,
            .out_stride = out_stride,
            .out = out.data() + c.group * c.value_dim,
            .lse = lse.data(),
            .scratch = scratch(),
            .softcap = static_cast<P>(c.softcap),
            .bias = c.bias ? bias.data() + nearest() : nullptr,
            .bias_stride = bias_stride,
            .sink = c.sink ? sink.data() : nullptr};
  }
  AttentionBackward<T> backward() {
    return {.forward = forward(),
            .d_out = d_out.data() + c.group * c.value_dim,
            .dq = dq.data() + c.group * c.head_dim,
            .dk = dk.data() + c.head_dim,
            .dv = dv.data() + c.value_dim,
            .scratch = scratch(),
            .d_bias = c.bias ? d_bias.data() + nearest() : nullptr};
  }
};

// This head's elements, rows one after the other; the neighbour's must still be the NaN they were filled with.
template <class T> std::vector<double> own(const Span<T>& x, int64_t stride, const std::string& what) {
  const auto all = x.values();
  std::vector<double> out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (static_cast<int64_t>(i) % stride >= stride / 2)
      out.push_back(all[i]);
    else
      EXPECT_TRUE(std::isnan(all[i])) << what << " wrote into its neighbour";
  }
  return out;
}

// Gradients of biases: those of distances that do not occur are NaN, and must be.
template <class T> std::vector<double> bias_gradient(const Span<T>& d_bias, const std::vector<double>& like, const std::string& what) {
  std::vector<double> out = d_bias.values();
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(std::isnan(out[i]), std::isnan(like[i])) << what << " [" << i << "]";
    if (std::isnan(out[i])) out[i] = 0;
  }
  return out;
}

double largest(const std::vector<double>& x) {
  double top = 0;
  for (const double v : x) top = std::max(top, std::abs(v));
  return top;
}

// Tolerances: scores of a few units carry rounding errors of 1e-6, p the same relative ones; bf16 gradients read a rounded
// output.
template <class T> void check(const Case& c, const std::vector<Candidate<AttentionForwardFn<T>>>& forwards = attention_forward<T>().runnable_here(),
                              const std::vector<Candidate<AttentionBackwardFn<T>>>& backwards = attention_backward<T>().runnable_here()) {
  Problem<double> want(c, 0);
  ref::attention_forward(want.forward());
  ref::attention_backward(want.backward());
  const auto out = own(want.out, want.out_stride, ""), dq = own(want.dq, want.q_stride, ""), dk = own(want.dk, want.k_stride, ""),
             dv = own(want.dv, want.v_stride, ""), d_bias = bias_gradient(want.d_bias, want.bias.values(), "");
  const double delta = sizeof(T) == 2 ? 0x1p-8 * std::sqrt(static_cast<double>(c.value_dim)) : 0;  // ⟨do, rounded out⟩
  const double reach = static_cast<double>(c.queries * c.group);
  for (const auto& f : forwards) {
    // Of a tensor's largest element: probabilities rounded to bf16.
    const double rounding = sizeof(T) == 2 && f.needs >= Tier::avx512_bf16 ? 0x1p-8 : 0;
    const std::string what = std::string(f.name) + (sizeof(T) == 2 ? " bf16 " : " f32 ") + c.text();
    Problem<T> got(c, 3);
    f.fn(got.forward());
    EXPECT_TRUE(got.scratch_respected()) << what;
    expect_close<T>(own(got.out, got.out_stride, what), out, 2e-6, 4e-6 + rounding * largest(out), what + " out");
    const auto lse = got.lse.values(), lse_want = want.lse.values();
    for (size_t i = 0; i < lse.size(); ++i)
      EXPECT_TRUE(lse[i] == lse_want[i] || std::abs(lse[i] - lse_want[i]) < 4e-6)
          << what << " lse " << lse[i] << " " << lse_want[i];

    for (const auto& b : backwards) {
      if (std::string(b.name) != f.name) continue;
      b.fn(got.backward());
      EXPECT_TRUE(got.scratch_respected()) << what;
      expect_close<T>(own(got.dq, got.q_stride, what), dq, 5e-6, 1e-5 + delta + 2 * rounding * largest(dq), what + " dq");
      expect_close<T>(own(got.dk, got.k_stride, what), dk, 5e-6, 1e-5 + 1e-6 * reach + 2 * delta + 2 * rounding * largest(dk), what + " dk");
      expect_close<T>(own(got.dv, got.v_stride, what), dv, 5e-6, 1e-5 + 1e-6 * reach + 2 * rounding * largest(dv), what + " dv");
      if (c.bias)
        expect_close<float>(bias_gradient(got.d_bias, want.bias.values(), what), d_bias, 5e-6, 1e-5 + 1e-6 * reach + 2 * delta + rounding * largest(d_bias), what + " d_bias");
    }
    if (::testing::Test::HasFailure()) return;
  }
}

template <class T, class... Lists> void check_all(const Lists&... lists) {
  for (const Sight sight : {Sight{}, Sight{.causal = false}, Sight{.window = 5}, Sight{.window = 100}, Sight{.prefix = 7},
                            Sight{.window = 33, .prefix = 90}, Sight{.causal = false, .window = 20}, Sight{.block = 4}, Sight{.block = 48, .first = 6},
                            Sight{.chunk = 20}, Sight{.causal = false, .chunk = 64}, Sight{.chunk = 130, .first = 9}, Sight{.first = 21},
                            Sight{.causal = false, .first = 70}, Sight{.window = 40, .prefix = 50, .first = 3}})
    for (const int64_t n : {1, 2, 3, 17, 64, 65, 130, 300}) {
      check<T>({.queries = n, .keys = n, .offset = 0, .group = 1, .head_dim = 16, .value_dim = 16, .sight = sight}, lists...);
      check<T>({.queries = n, .keys = n + 40, .offset = 40, .group = 3, .head_dim = 8, .value_dim = 24, .sight = sight}, lists...);
    }
  for (const Case& change : {Case{.softcap = 2}, Case{.softcap = 50}, Case{.bias = true}, Case{.sink = true}, Case{.softcap = 3, .bias = true, .sink = true}})
    for (const Sight sight : {Sight{}, Sight{.causal = false}, Sight{.window = 33, .prefix = 90}, Sight{.chunk = 50, .first = 9}, Sight{.causal = false, .first = 70}})
      for (const int64_t n : {1, 17, 65, 200})
        for (Case c : {Case{n, n, 0, 1, 16, 16, sight}, Case{n, n + 40, 40, 3, 8, 24, sight}, Case{1, n + 30, n + 20, 2, 16, 16, sight}, Case{40, n, 0, 2, 16, 8, sight}}) {
          c.softcap = change.softcap, c.bias = change.bias, c.sink = change.sink;
          check<T>(c, lists...);
        }
  for (const int64_t d : {1, 2, 3, 4, 5, 7, 9, 15, 17, 31, 32, 33, 48, 64, 65, 80, 96, 128, 200})
    check<T>({.queries = 70, .keys = 70, .offset = 0, .group = 2, .head_dim = d, .value_dim = d + d % 3, .sight = {}}, lists...);
  for (const int64_t keys : {1, 15, 16, 127, 128, 129, 500})  // decoding: one query at the end, or past it
    for (const int64_t group : {1, 2, 5, 8, 70}) {
      check<T>({.queries = 1, .keys = keys, .offset = keys - 1, .group = group, .head_dim = 32, .value_dim = 16, .sight = {}}, lists...);
      check<T>({.queries = 2,
                .keys = keys,
                .offset = keys + 3,
                .group = group,
                .head_dim = 16,
                .value_dim = 16,
                .sight = {.window = 6}}, lists...);
    }
  check<T>({.queries = 5, .keys = 0, .offset = 0, .group = 2, .head_dim = 16, .value_dim = 16, .sight = {}}, lists...);
  check<T>({.queries = 0, .keys = 5, .offset = 0, .group = 2, .head_dim = 16, .value_dim = 16, .sight = {}}, lists...);
  check<T>({.queries = 300,
            .keys = 3,
            .offset = 0,
            .group = 1,
            .head_dim = 16,
            .value_dim = 16,
            .sight = {.window = 9}}, lists...);  // trailing rows see nothing
}

#if GAMUT_COMPILED_TIER >= 4
// What the AMX tier runs, with tiles in memory.
TEST(Attention, MatchesTheDefinitionOnSoftwareTiles) {
  if (machine_tier() < Tier::avx512_bf16) GTEST_SKIP() << "needs AVX-512 BF16";
  const std::vector<Candidate<AttentionForwardFn<bf16>>> forwards{
      {"software tiles", Tier::amx, [](const AttentionForward<bf16>& a) { attention_forward_tiled(a, ref::gemm_software_tiles, avx512bf16::attention_rows); }}};
  const std::vector<Candidate<AttentionBackwardFn<bf16>>> backwards{
      {"software tiles", Tier::amx, [](const AttentionBackward<bf16>& b) { attention_backward_tiled(b, ref::gemm_software_tiles, avx512bf16::attention_rows); }}};
  check_all<bf16>(forwards, backwards);
}
#endif

TEST(Attention, MatchesTheDefinitionOnEveryTier) { check_all<float>(); }
TEST(Attention, MatchesTheDefinitionOnEveryTierInBf16) { check_all<bf16>(); }

TEST(Attention, BackwardIsTheDerivative) {
  for (const Case& change : {Case{}, Case{.sight = {.causal = false}}, Case{.sight = {.window = 2}}, Case{.sight = {.prefix = 3}}, Case{.sight = {.block = 2, .first = 1}},
                            Case{.sight = {.chunk = 3}}, Case{.softcap = 0.7}, Case{.bias = true}, Case{.sink = true}, Case{.sight = {.window = 3}, .softcap = 1, .bias = true, .sink = true}}) {
    Problem<double> p({.queries = 4, .keys = 5, .offset = 1, .group = 2, .head_dim = 3, .value_dim = 2, .sight = change.sight, .softcap = change.softcap, .bias = change.bias, .sink = change.sink}, 0);
    const auto loss = [&](Span<double>& x) {
      return [&](const std::vector<double>& values) {
        std::copy(values.begin(), values.end(), x.data());
        ref::attention_forward(p.forward());
        double sum = 0;
        for (int64_t i = 0; i < 4; ++i)
          for (int64_t j = 0; j < 4; ++j) sum += p.out[i * p.out_stride + 4 + j] * p.d_out[i * p.out_stride + 4 + j];
        return sum;
      };
    };
    ref::attention_forward(p.forward());
    ref::attention_backward(p.backward());
    const std::pair<Span<double>*, Span<double>*> pairs[] = {{&p.q, &p.dq}, {&p.k, &p.dk}, {&p.v, &p.dv}, {&p.bias, &p.d_bias}};
    for (const auto& [x, dx] : pairs) {
      const auto before = x->values();
      const auto numeric = numeric_gradient(before, loss(*x));
      std::copy(before.begin(), before.end(), x->data());
      for (int64_t i = 0; i < x->size(); ++i) {
        if (std::isnan((*dx)[i]))
          EXPECT_NEAR(numeric[static_cast<size_t>(i)], 0, 1e-9);  // the other head
        else
          EXPECT_NEAR((*dx)[i], numeric[static_cast<size_t>(i)], 1e-8);
      }
    }
  }
}

// A query's result is the same bit for bit alone (decoding), in a chunk, or among all; and whatever the hidden keys hold.
TEST(Attention, RowsDoNotDependOnTheirNeighboursOrOnHiddenKeys) {
  for (const auto& f : attention_forward<bf16>().runnable_here())
    for (const Case& change : {Case{}, Case{.sight = {.window = 50}}, Case{.sight = {.window = 150}}, Case{.sight = {.block = 16}}, Case{.sight = {.chunk = 60}}, Case{.sight = {.first = 33}},
                               Case{.softcap = 2, .bias = true, .sink = true}, Case{.sight = {.window = 50, .first = 20}, .bias = true}}) {
      const Sight sight = change.sight;
      const Case c{.queries = 150, .keys = 150, .offset = 0, .group = 3, .head_dim = 20, .value_dim = 20, .sight = sight, .softcap = change.softcap, .bias = change.bias, .sink = change.sink};
      Problem<bf16> all(c, 0), parts(c, 0);
      f.fn(all.forward());
      for (int64_t first = 0, n = 1; first < c.queries; first += n, n = n % 7 + 1) {
        auto a = parts.forward();
        n = std::min(n, c.queries - first);
        std::vector<float> lse(static_cast<size_t>(n * c.group));
        a.queries = n, a.offset = first, a.q += first * a.q_stride, a.out += first * a.out_stride, a.lse = lse.data();
        if (first % 2) a.keys = std::max(first + n, visible_keys(sight, c.keys, first + n - 1).end);
        f.fn(a);
        for (int64_t g = 0; g < c.group; ++g)
          for (int64_t i = 0; i < n; ++i)
            EXPECT_EQ(lse[static_cast<size_t>(g * n + i)], all.lse[g * c.queries + first + i]) << f.name;
      }
      EXPECT_TRUE(parts.out.same_bits(all.out)) << f.name << " " << c.text();
    }
}

// Against the rules as the header says them, pair by pair.
TEST(Attention, VisibleKeysAreOneIntervalThatMovesForward) {
  for (const bool causal : {true, false})
    for (const int64_t window : {0, 1, 4})
      for (const int64_t prefix : {0, 5})
        for (const int64_t block : {0, 3})
          for (const int64_t chunk : {0, 4})
            for (const int64_t first : {0, 2})
              for (const int64_t keys : {0, 3, 12}) {
                const Sight sight{causal, window, prefix, block, chunk, first};
                KeyRange before{0, 0};
                for (int64_t position = 0; position < 15; ++position) {
                  const KeyRange range = visible_keys(sight, keys, position);
                  EXPECT_TRUE(0 <= range.begin && range.begin <= range.end && range.end <= keys);
                  EXPECT_TRUE(before.begin <= range.begin && before.end <= range.end);
                  before = range;
                  if (position < first) continue;  // a query that is padding itself
                  for (int64_t j = 0; j < keys; ++j) {
                    const auto part = [&](int64_t x, int64_t length) { return (x - first) / length; };
                    const bool reached = !causal || j < prefix || (block > 0 ? part(j, block) <= part(position, block) : j <= position);
                    const bool sees = j >= first && reached && (window == 0 || std::abs(j - position) < window) && (chunk == 0 || part(j, chunk) == part(position, chunk));
                    EXPECT_EQ(sees, range.begin <= j && j < range.end) << "query " << position << " key " << j;
                  }
                }
              }
}

TEST(Attention, LargeScoresStayFinite) {
  for (const auto& f : attention_forward<float>().runnable_here()) {
    Problem<float> p({.queries = 40, .keys = 40, .offset = 0, .group = 1, .head_dim = 16, .value_dim = 16, .sight = {}}, 0, 200);
    Problem<double> want(p.c, 0, 200);
    f.fn(p.forward());
    ref::attention_forward(want.forward());
    expect_close<float>(own(p.out, p.out_stride, f.name), own(want.out, want.out_stride, ""), 2e-2, 2e-2, f.name);
    for (const auto& b : attention_backward<float>().runnable_here()) {
      b.fn(p.backward());
      for (const double x : own(p.dq, p.q_stride, b.name)) ASSERT_TRUE(std::isfinite(x)) << b.name;
    }
  }
}

}  // namespace
}  // namespace gamut::kernels
