// Causal depthwise convolution: W channels at a time, walking over time.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// Tap j of the channels from c on.
GAMUT_INLINE F taps(const float* w_CW, int64_t width, int64_t c, int64_t j, All) {
  F w;
  for (int i = 0; i < W; ++i) w[i] = w_CW[(c + i) * width + j];
  return w;
}
GAMUT_INLINE F taps(const float* w_CW, int64_t width, int64_t c, int64_t j, Some some) {
  F w{};
  for (int i = 0; i < some.count; ++i) w[i] = w_CW[(c + i) * width + j];
  return w;
}
GAMUT_INLINE void put_taps(float* w_CW, int64_t width, int64_t c, int64_t j, F w, auto part) {
  float lanes[W];
  store(lanes, w);
  int64_t n = W;
  if constexpr (requires { part.count; }) n = part.count;
  for (int64_t i = 0; i < n; ++i) w_CW[(c + i) * width + j] = lanes[i];
}

template <class T> GAMUT_INLINE F conv_input(const ConvForward<T>& a, int64_t t, int64_t c, auto part) {
  if (t >= 0) return load(a.x + t * a.stride + c, part);
  return a.before ? load(a.before + (a.width - 1 + t) * a.stride + c, part) : F{};
}

}  // namespace

template <class T> void conv_forward(const ConvForward<T>& a) {
  sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    F w[kMaxConvWidth];
    for (int64_t j = 0; j < a.width; ++j) w[j] = taps(a.w_CW, a.width, c, j, part);
    const F bias = a.bias_C ? load(a.bias_C + c, part) : F{};
    for (int64_t t = 0; t < a.tokens; ++t) {
      F y = bias;
      for (int64_t j = 0; j < a.width; ++j) y = madd(w[j], conv_input(a, t - a.width + 1 + j, c, part), y);
      if (a.silu) y *= sigmoid(y);
      store(a.out + t * a.stride + c, y, part);
    }
  });
}

template <class T> void conv_backward(const ConvBackward<T>& b) {
  const ConvForward<T>& a = b.forward;
  sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    F w[kMaxConvWidth], d_w[kMaxConvWidth] = {}, d[kMaxConvWidth] = {};  // d[i]: of the sum at time t + i
    for (int64_t j = 0; j < a.width; ++j) w[j] = taps(a.w_CW, a.width, c, j, part);
    const F bias = a.bias_C ? load(a.bias_C + c, part) : F{};
    F d_bias{};
    for (int64_t t = a.tokens - 1; t >= 0; --t) {
      for (int64_t i = a.width - 1; i > 0; --i) d[i] = d[i - 1];
      F slope = set1(1.0f);
      if (a.silu) {
        F y = bias;
        for (int64_t j = 0; j < a.width; ++j) y = madd(w[j], conv_input(a, t - a.width + 1 + j, c, part), y);
        const F s = sigmoid(y);
        slope = madd(y * s, 1.0f - s, s);
      }
      d[0] = slope * load(b.d_out + t * a.stride + c, part);
      d_bias += d[0];
      F dx{};
      for (int64_t j = 0; j < a.width; ++j) {
        d_w[j] = madd(d[0], conv_input(a, t - a.width + 1 + j, c, part), d_w[j]);
        dx = madd(w[j], d[a.width - 1 - j], dx);
      }
      if (b.dx) store(b.dx + t * a.stride + c, dx, part);
    }
    for (int64_t j = 0; j < a.width; ++j) put_taps(b.d_w_CW, a.width, c, j, d_w[j], part);
    store(b.d_bias_C + c, d_bias, part);
  });
}

template void conv_forward(const ConvForward<float>&);
template void conv_forward(const ConvForward<bf16>&);
template void conv_backward(const ConvBackward<float>&);
template void conv_backward(const ConvBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
