// The selective scan of Mamba: a state of N numbers per channel, decaying at its own rate [Gu & Dao 2023].
//   h[e,n] ← e^(Δ_e·A[e,n])·h[e,n] + Δ_e·B_n·x_e;   y_e = Σ_n C_n·h[e,n] + D_e·x_e;   A = −e^(log_rate)
//
// Against the definition in double for inputs of order 1 and before rounding to bf16: 1e-5 of the largest element (op cases).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

constexpr int64_t kScanChunk = 32, kScanChannels = 64;  // states are kept before every chunk; channels of one call at most

// One sequence, `channels` neighbouring channels; every pointer starts at the first of them. Rows of x, delta, out: `stride` apart.
template <class T> struct ScanForward {
  using P = accumulator<T>;
  int64_t tokens, channels, n, stride;
  const T* x;
  const P* delta;
  const P* log_rate_EN;
  const P *b_TN, *c_TN;  // rows without gaps
  const P* skip_E;
  P* state;              // [N, channels], rows state_stride apart: before the first token; after the last on return
  int64_t state_stride;
  P* starts;             // ? [⌈tokens/chunk⌉, N, channels], rows state_stride apart: receives the state before each chunk
  T* out;
  std::byte* scratch;    // scan_scratch bytes, 64-byte aligned
};
// The final state has no gradient; `state` is not read.
template <class T> struct ScanBackward {
  using P = accumulator<T>;
  ScanForward<T> forward;  // with starts filled in
  const T* d_out;
  T* dx;                   // overwritten, as all that follow
  P* d_delta;
  P* d_log_rate_EN;
  P *d_b_TN, *d_c_TN;      // this call's channels alone
  P* d_skip_E;
};
int64_t scan_scratch(int64_t n);
template <class T> using ScanForwardFn = void (*)(const ScanForward<T>&);
template <class T> using ScanBackwardFn = void (*)(const ScanBackward<T>&);
template <class T> const Candidates<ScanForwardFn<T>>& scan_forward();
template <class T> const Candidates<ScanBackwardFn<T>>& scan_backward();

}  // namespace gamut::kernels
