// What happens to single vectors of attention scores, in both layouts of attention.
#pragma once

#include "kernels/simd/attention_layout.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;
constexpr float kNoScore = -__builtin_inff();

GAMUT_INLINE I inside(int64_t key, KeyPart part) {
  const I index = iota() + static_cast<int32_t>(key);
  return (index >= part.begin) & (index < part.end);
}

// Keys begin … end−1 of row r, whole vectors: raw scores times `factor` become scores.
GAMUT_INLINE void change_row(const ScoreChange& change, int64_t r, float factor, int64_t begin, int64_t end, float* row) {
  const F cap = set1(change.cap), inverse = set1(1.0f / change.cap);
  const float* bias = change.bias ? change.bias + change.row(r) : nullptr;
  for (int64_t j = begin; j < end; j += W) {
    F x = factor * load(row + j);
    if (change.cap > 0) x = cap * tanh(x * inverse);
    if (bias) x += load(bias + j);
    store(row + j, x);
  }
}

// The same, to the gradient of a score: p and ds from the raw score x times factor; ds reaches the bias on the way. `partial`: of one vector, only where seen.
template <class X> struct Differential { X p, ds; };
template <bool changed, bool kCoarse, class X, class Kind>
GAMUT_INLINE Differential<X> differential(const ScoreChange& change, int64_t bias_at, X x, F lse, X dp, F delta, bool partial, I seen, Kind kind) {
  X slope{};
  if constexpr (changed) {
    if (change.cap > 0) {
      const X t = tanh(x * (1.0f / change.cap));
      x = change.cap * t;
      slope = 1.0f - t * t;
    }
    if (change.bias) x = x + load(change.bias + bias_at, kind);
  }
  X p = exp2<kCoarse>(x - lse), ds = p * (dp - delta);
  if (partial) {
    p = select(seen, p, F{});
    ds = select(seen, ds, F{});
  }
  if constexpr (changed) {
    if (change.d_bias) store(change.d_bias + bias_at, load(change.d_bias + bias_at, kind) + ds, kind);
    if (change.cap > 0) ds = ds * slope;
  }
  return {p, ds};
}

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
