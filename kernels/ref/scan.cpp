#include "kernels/ref/scan.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gamut::kernels::ref {
namespace {

template <class T> accumulator<T> decay(const ScanForward<T>& a, int64_t t, int64_t e, int64_t n) {
  return std::exp(-a.delta[t * a.stride + e] * std::exp(a.log_rate_EN[e * a.n + n]));
}
template <class T> accumulator<T> written(const ScanForward<T>& a, int64_t t, int64_t e, int64_t n) {
  return a.delta[t * a.stride + e] * a.b_TN[t * a.n + n] * static_cast<accumulator<T>>(a.x[t * a.stride + e]);
}

}  // namespace

template <class T> void scan_forward(const ScanForward<T>& a) {
  using P = accumulator<T>;
  for (int64_t t = 0; t < a.tokens; ++t) {
    if (a.starts && t % kScanChunk == 0)
      for (int64_t n = 0; n < a.n; ++n) std::copy_n(a.state + n * a.state_stride, a.channels, a.starts + (t / kScanChunk * a.n + n) * a.state_stride);
    for (int64_t e = 0; e < a.channels; ++e) {
      P y = a.skip_E[e] * static_cast<P>(a.x[t * a.stride + e]);
      for (int64_t n = 0; n < a.n; ++n) {
        P& h = a.state[n * a.state_stride + e];
        h = decay(a, t, e, n) * h + written(a, t, e, n);
        y += a.c_TN[t * a.n + n] * h;
      }
      a.out[t * a.stride + e] = static_cast<T>(y);
    }
  }
}

template <class T> void scan_backward(const ScanBackward<T>& b) {
  using P = accumulator<T>;
  const ScanForward<T>& a = b.forward;
  std::fill_n(b.d_b_TN, a.tokens * a.n, P(0));
  std::fill_n(b.d_c_TN, a.tokens * a.n, P(0));
  std::vector<P> h(static_cast<size_t>((kScanChunk + 1) * a.n)), g(static_cast<size_t>(a.n));
  for (int64_t e = 0; e < a.channels; ++e) {
    std::fill(g.begin(), g.end(), P(0));
    std::fill_n(b.d_log_rate_EN + e * a.n, a.n, P(0));
    b.d_skip_E[e] = 0;
    for (int64_t chunk = (a.tokens - 1) / kScanChunk; chunk >= 0; --chunk) {
      const int64_t first = chunk * kScanChunk, count = std::min(kScanChunk, a.tokens - first);
      for (int64_t n = 0; n < a.n; ++n) h[static_cast<size_t>(n)] = a.starts[(chunk * a.n + n) * a.state_stride + e];
      for (int64_t c = 0; c < count; ++c)
        for (int64_t n = 0; n < a.n; ++n) h[static_cast<size_t>((c + 1) * a.n + n)] = decay(a, first + c, e, n) * h[static_cast<size_t>(c * a.n + n)] + written(a, first + c, e, n);
      for (int64_t t = first + count - 1; t >= first; --t) {
        const P d_out = static_cast<P>(b.d_out[t * a.stride + e]), x = static_cast<P>(a.x[t * a.stride + e]), delta = a.delta[t * a.stride + e];
        const P *after = h.data() + (t - first + 1) * a.n, *before = after - a.n;
        P into_x = 0, d_delta = 0;  // Σ g·B, and what reaches Δ through the decays
        for (int64_t n = 0; n < a.n; ++n) {
          P& gn = g[static_cast<size_t>(n)];
          gn += d_out * a.c_TN[t * a.n + n];
          b.d_c_TN[t * a.n + n] += d_out * after[n];
          const P through = gn * decay(a, t, e, n) * before[n], rate = std::exp(a.log_rate_EN[e * a.n + n]);
          b.d_log_rate_EN[e * a.n + n] -= through * delta * rate;
          d_delta -= through * rate;
          into_x += gn * a.b_TN[t * a.n + n];
          b.d_b_TN[t * a.n + n] += gn * delta * x;
          gn *= decay(a, t, e, n);
        }
        b.d_delta[t * a.stride + e] = d_delta + x * into_x;
        b.dx[t * a.stride + e] = static_cast<T>(delta * into_x + a.skip_E[e] * d_out);
        b.d_skip_E[e] += d_out * x;
      }
    }
  }
}

template void scan_forward(const ScanForward<float>&);
template void scan_forward(const ScanForward<bf16>&);
template void scan_forward(const ScanForward<double>&);
template void scan_backward(const ScanBackward<float>&);
template void scan_backward(const ScanBackward<bf16>&);
template void scan_backward(const ScanBackward<double>&);

}  // namespace gamut::kernels::ref
