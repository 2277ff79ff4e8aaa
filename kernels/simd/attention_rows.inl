// Passes over rows of attention scores, for attention on block kernels (attention_tiled.h).
#include "kernels/attention_tiled.h"
#include "kernels/simd/attention_scores.inl"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// body(j, partial, kind of load) for every vector of the span, for bundles of them where all of their keys are visible; partial: not all of its keys are.
template <class Body> GAMUT_INLINE void sweep_keys(KeyPart span, KeyPart part, const Body& body) {
  const int64_t whole = (part.begin + W - 1) / W * W, last = part.end / W * W, rest = last < span.end ? last : span.end;  // a row may see nothing beyond the span
  int64_t j = span.begin;
  for (; j < span.end && j < whole; j += W) body(j, true, All{});
  for (; j < rest && j % (kBundle * W) != 0; j += W) body(j, false, All{});  // where bundles begin is no matter of the rows beside this one
  for (; j + kBundle * W <= rest; j += kBundle * W) body(j, false, Bundled{});
  for (; j < rest; j += W) body(j, false, All{});
  for (; j < span.end; j += W) body(j, true, All{});
}

void change_rows(const ScoreRows& a, const ScoreChange& change) {
  for (int64_t r = 0; r < a.rows; ++r) change_row(change, r, a.scale, a.span_R[r].begin, a.span_R[r].end, a.s + r * a.columns);
}

// Scores may exceed the base by this much (a factor 256 of their p) before sums and results move to a new one, which is then rare.
constexpr float kSlack = 8;

void soften_rows(const ScoreRows& a, float* max_R, float* base_R, float* factor_R, float* sum_R16) {
  const F scale = set1(a.scale);
  for (int64_t r = 0; r < a.rows; ++r) {
    const KeyPart part = a.part_R[r], span = a.span_R[r];
    const float* row = a.s + r * a.columns;
    F top = set1(max_R[r]);
    sweep_keys(span, part, [&](int64_t j, bool partial, auto kind) GAMUT_INLINED {
      auto x = scale * load(row + j, kind);
      if (partial) x = select(inside(j, part), x, set1(kNoScore));
      top = max(greatest(x), top);
    });
    base_R[r] = highest(top);
  }
  for (int64_t r = 0; r < a.rows; r += W) {
    const F before = load(max_R + r), top = load(base_R + r), after = select(top > before + kSlack, top, before), base = select(after == kNoScore, F{}, after);
    store(max_R + r, after);
    store(base_R + r, base);
    store(factor_R + r, exp2(before - base));
  }
  for (int64_t r = 0; r < a.rows; ++r) {
    const KeyPart part = a.part_R[r], span = a.span_R[r];
    const float* row = a.s + r * a.columns;
    bf16* out = a.p + r * a.columns;
    const F below = set1(-base_R[r]);
    F sum = factor_R[r] * load(sum_R16 + r * W);
    sweep_keys(span, part, [&](int64_t j, bool partial, auto kind) GAMUT_INLINED {
      auto p = exp2<true>(madd(scale, load(row + j, kind), below));
      if (partial) p = select(inside(j, part), p, F{});
      store(out + j, p);
      sum += summed(p);
    });
    store(sum_R16 + r * W, sum);
  }
}

template <bool changed> void differentiate_rows(const ScoreRows& a, const ScoreChange& change, const float* lse_R, const float* delta_R, const float* dp, bf16* ds) {
  const F scale = set1(a.scale);
  for (int64_t r = 0; r < a.rows; ++r) {
    const KeyPart part = a.part_R[r], span = a.span_R[r];
    const float *s_r = a.s + r * a.columns, *dp_r = dp + r * a.columns;
    const F lse = set1(lse_R[r]), delta = set1(delta_R[r]);
    const int64_t bias_at = changed && change.bias ? change.row(r) : 0;
    sweep_keys(span, part, [&](int64_t j, bool partial, auto kind) GAMUT_INLINED {
      const auto d = differential<changed, true>(change, bias_at + j, scale * load(s_r + j, kind), lse, load(dp_r + j, kind), delta, partial, inside(j, part), kind);
      store(a.p + r * a.columns + j, d.p);
      store(ds + r * a.columns + j, d.ds);
    });
  }
}
void differentiate(const ScoreRows& a, const ScoreChange& change, const float* lse_R, const float* delta_R, const float* dp, bf16* ds) {
  (change.any() ? differentiate_rows<true> : differentiate_rows<false>)(a, change, lse_R, delta_R, dp, ds);
}

void scale_rows(int64_t rows, int64_t width, const float* factor_R, float* c) {
  for (int64_t r = 0; r < rows; ++r, c += width)
    if (factor_R[r] != 1)
      for (int64_t i = 0; i < width; i += W) store(c + i, factor_R[r] * load(c + i));
}

void finish_rows(int64_t rows, const float* max_R, const float* sum_R16, float* inverse_R, float* lse_R) {
  for (int64_t r = 0; r < rows; ++r) inverse_R[r] = sum(load(sum_R16 + r * W));
  for (int64_t r = 0; r < rows; r += W) {
    const F top = load(max_R + r), total = load(inverse_R + r);
    store(inverse_R + r, select(top == kNoScore, F{}, 1.0f / total));
    store(lse_R + r, select(top == kNoScore, top, madd(top, set1(kLn2), log(total))));
  }
}

void store_row(int64_t n, const float* from, float factor, bf16* to) {
  sweep(n, [&](int64_t c, auto part) GAMUT_INLINED { store(to + c, load(from + c, part) * factor, part); });
}

float inner(int64_t n, const bf16* a, const bf16* b) {
  F s{};
  sweep(n, [&](int64_t c, auto part) GAMUT_INLINED { s = madd(load(a + c, part), load(b + c, part), s); });
  return sum(s);
}

}  // namespace

static_assert(W == 16, "sums of probabilities gather in sixteen lanes");
const AttentionRows attention_rows{change_rows, soften_rows, differentiate, scale_rows, finish_rows, store_row, inner};

}  // namespace gamut::kernels::GAMUT_TIER
