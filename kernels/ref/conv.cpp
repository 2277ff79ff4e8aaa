#include "kernels/ref/conv.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gamut::kernels::ref {
namespace {

template <class T> accumulator<T> input(const ConvForward<T>& a, int64_t t, int64_t c) {
  if (t >= 0) return static_cast<accumulator<T>>(a.x[t * a.stride + c]);
  return a.before ? static_cast<accumulator<T>>(a.before[(a.width - 1 + t) * a.stride + c]) : accumulator<T>(0);
}

template <class T> accumulator<T> convolved(const ConvForward<T>& a, int64_t t, int64_t c) {
  accumulator<T> sum = a.bias_C ? a.bias_C[c] : accumulator<T>(0);
  for (int64_t j = 0; j < a.width; ++j) sum += a.w_CW[c * a.width + j] * input(a, t - a.width + 1 + j, c);
  return sum;
}

}  // namespace

template <class T> void conv_forward(const ConvForward<T>& a) {
  using P = accumulator<T>;
  for (int64_t t = 0; t < a.tokens; ++t)
    for (int64_t c = 0; c < a.channels; ++c) {
      const P y = convolved(a, t, c);
      a.out[t * a.stride + c] = static_cast<T>(a.silu ? y / (1 + std::exp(-y)) : y);
    }
}

template <class T> void conv_backward(const ConvBackward<T>& b) {
  using P = accumulator<T>;
  const ConvForward<T>& a = b.forward;
  std::vector<P> d(static_cast<size_t>(a.tokens));  // ∂/∂(sum before the activation) of one channel
  for (int64_t c = 0; c < a.channels; ++c) {
    P* d_w = b.d_w_CW + c * a.width;
    std::fill_n(d_w, a.width, P(0));
    P d_bias = 0;
    for (int64_t t = 0; t < a.tokens; ++t) {
      P slope = 1;
      if (a.silu) {
        const P y = convolved(a, t, c), s = 1 / (1 + std::exp(-y));
        slope = s + y * s * (1 - s);
      }
      const P d_t = d[static_cast<size_t>(t)] = slope * static_cast<P>(b.d_out[t * a.stride + c]);
      d_bias += d_t;
      for (int64_t j = 0; j < a.width; ++j) d_w[j] += d_t * input(a, t - a.width + 1 + j, c);
    }
    b.d_bias_C[c] = d_bias;
    if (!b.dx) continue;
    for (int64_t t = 0; t < a.tokens; ++t) {
      P sum = 0;
      for (int64_t j = 0; j < a.width; ++j)
        if (const int64_t later = t + a.width - 1 - j; later < a.tokens) sum += a.w_CW[c * a.width + j] * d[static_cast<size_t>(later)];
      b.dx[t * a.stride + c] = static_cast<T>(sum);
    }
  }
}

template void conv_forward(const ConvForward<float>&);
template void conv_forward(const ConvForward<bf16>&);
template void conv_forward(const ConvForward<double>&);
template void conv_backward(const ConvBackward<float>&);
template void conv_backward(const ConvBackward<bf16>&);
template void conv_backward(const ConvBackward<double>&);

}  // namespace gamut::kernels::ref
