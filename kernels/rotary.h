// Rotary position embedding of heads [Su et al., RoFormer, 2021]. Before rounding to bf16: 2e-7 relative + 5e-7 (rotary_test).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

enum class RotaryStyle : uint8_t { half_split, interleaved };  // pairs (i, i+R/2), or (2i, 2i+1)

// For each row n and head: the first `rotary` of `head_dim` elements are rotated by the angles of position_N[n]:
// (a, b) → (a·cos − b·sin, b·cos + a·sin); `inverse` rotates back (the gradient). The rest is copied. In place is fine.
template <class T> struct Rotary {
  using P = accumulator<T>;
  RotaryStyle style;
  bool inverse;
  int64_t rows, heads, head_dim, rotary;
  const int32_t* position_N;
  const P* cos_MR;  // [positions, rotary/2]
  const P* sin_MR;
  const T* x_NHK;
  T* out_NHK;
};
template <class T> using RotaryFn = void (*)(const Rotary<T>&);
template <class T> const Candidates<RotaryFn<T>>& rotary();

}  // namespace gamut::kernels
