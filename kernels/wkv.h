// The weighted mean of RWKV-4, channel by channel: of all tokens so far, with weights e^k that decay by w a token, and the current one with e^u more.
//   y_t = (Σ_{i<t} e^(k_i − (t−1−i)·w)·v_i + e^(u + k_t)·v_t) / (the same without v),   w = e^(log_rate)
// Sums are kept as multiples of e^p, p the largest exponent in them, so that no weight is too large for a float. [Peng et al., RWKV, 2023]
//
// Against the definition in double for inputs of order 1 and before rounding to bf16: 2e-5 of the largest element (op cases).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

constexpr int64_t kWkvChunk = 32, kWkvChannels = 64;  // states are kept before every chunk; channels of one call at most

// One sequence, `channels` neighbouring channels; every pointer starts at the first of them. Rows of key, value, out: `stride` apart.
template <class T> struct WkvForward {
  using P = accumulator<T>;
  int64_t tokens, channels, stride;
  const T *key, *value;
  const P *log_rate_C, *bonus_C;
  P* state;              // [3, channels], rows state_stride apart: sums with and without v, and p; zeros: nothing yet. After the last token on return
  int64_t state_stride;
  P* starts;             // ? [⌈tokens/chunk⌉, 3, channels], rows state_stride apart: receives the state before each chunk
  T* out;
  std::byte* scratch;    // wkv_scratch bytes, 64-byte aligned
};
// The final state has no gradient; `state` is not read. All results are overwritten.
template <class T> struct WkvBackward {
  using P = accumulator<T>;
  WkvForward<T> forward;  // with starts filled in
  const T* d_out;
  T *d_key, *d_value;
  P *d_log_rate_C, *d_bonus_C;
};
int64_t wkv_scratch();
template <class T> using WkvForwardFn = void (*)(const WkvForward<T>&);
template <class T> using WkvBackwardFn = void (*)(const WkvBackward<T>&);
template <class T> const Candidates<WkvForwardFn<T>>& wkv_forward();
template <class T> const Candidates<WkvBackwardFn<T>>& wkv_backward();

}  // namespace gamut::kernels
