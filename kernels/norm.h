// Residual addition fused with RMSNorm or LayerNorm, over rows of D elements [Zhang & Sennrich 2019; Ba et al. 2016].
//
// A row's numbers do not depend on the other rows. Against the definition in double, for elements of order 1 and before
// rounding to bf16 (norm_test): inv 3e-6 relative (D ≤ 16384), out 3e-6 relative + 1e-6, dx 1e-5 relative + 2e-5.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

enum class NormKind : uint8_t { rms, layer };

// T: float, bf16 or double; P = accumulator<T>. Sums in P. Nullable pointers are marked ?.
template <class T> struct NormForward {
  using P = accumulator<T>;
  NormKind kind;
  int64_t rows, d;
  double eps;
  const T* x_ND;      // residual stream
  const T* y_ND;      // ? branch to add first
  const P* gain_D;    // ? 1 when absent
  const P* bias_D;    // ? LayerNorm only
  T* sum_ND;          // x + y rounded to T, which the norm then reads; required with y, unused without. May be x or y.
  T* out_ND;          // may be x, y or sum
  P* mean_N;          // ? LayerNorm only
  P* inv_N;           // 1/sqrt(mean(x²)+eps), or 1/sqrt(var+eps) with population variance
  bool past_caches = false;  // a hint: sum and out are too large for caches and may be written around them
};
template <class T> struct NormBackward {
  using P = accumulator<T>;
  NormKind kind;
  int64_t rows, d;
  const T* sum_ND;    // what the forward normalised
  const P* gain_D;    // ?
  const P* mean_N;    // ?
  const P* inv_N;
  const T* d_out_ND;
  const T* d_sum_ND;  // ? gradient that arrives along the residual stream; added
  T* dx_ND;           // gradient of sum (so of x and of y); may be d_out or d_sum
  P* d_gain_D;        // ? accumulated (+=) over these rows, in row order
  P* d_bias_D;        // ? likewise
  bool past_caches = false;  // a hint, as above, for dx
};

template <class T> using NormForwardFn = void (*)(const NormForward<T>&);
template <class T> using NormBackwardFn = void (*)(const NormBackward<T>&);
template <class T> const Candidates<NormForwardFn<T>>& norm_forward();
template <class T> const Candidates<NormBackwardFn<T>>& norm_backward();

}  // namespace gamut::kernels
