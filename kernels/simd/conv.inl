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

// The taps of W channels from c on, and their sums before the activation.
struct Filter {
  F w[kMaxConvWidth], bias;
  template <class T, class Part> GAMUT_INLINE Filter(const ConvForward<T>& a, int64_t c, Part part) : bias(a.bias_C ? load(a.bias_C + c, part) : F{}) {
    for (int64_t j = 0; j < a.width; ++j) w[j] = taps(a.w_CW, a.width, c, j, part);
  }
  template <class T, class Part> GAMUT_INLINE F sum(const ConvForward<T>& a, int64_t t, int64_t c, Part part) const {
    F y = bias;
    for (int64_t j = 0; j < a.width; ++j) y = madd(w[j], conv_input(a, t - a.width + 1 + j, c, part), y);
    return y;
  }
  template <class T, class Part> GAMUT_INLINE Bundle<F> sums(const ConvForward<T>& a, int64_t t, int64_t c, Part part) const {
    return {sum(a, t, c, part), sum(a, t + 1, c, part), sum(a, t + 2, c, part), sum(a, t + 3, c, part)};
  }
};

}  // namespace

template <class T> void conv_forward(const ConvForward<T>& a) {
  sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    const Filter filter(a, c, part);
    const auto activate = [&](auto y) GAMUT_INLINED {
      if (a.silu) y = y * sigmoid<sizeof(T) == 2>(y);
      return y;
    };
    int64_t t = 0;
    for (; t + kBundle <= a.tokens; t += kBundle) {
      const Bundle<F> y = activate(filter.sums(a, t, c, part));
#pragma GCC unroll 4
      for (int k = 0; k < kBundle; ++k) store(a.out + (t + k) * a.stride + c, y.at[k], part);
    }
    for (; t < a.tokens; ++t) store(a.out + t * a.stride + c, activate(filter.sum(a, t, c, part)), part);
  });
}

template <class T> void conv_backward(const ConvBackward<T>& b) {
  const ConvForward<T>& a = b.forward;
  sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    const Filter filter(a, c, part);
    F d_w[kMaxConvWidth] = {}, d[kMaxConvWidth] = {};  // d[i]: of the sum at time t + i
    F d_bias{};
    const auto slope = [&](auto y) GAMUT_INLINED {
      const auto s = sigmoid<sizeof(T) == 2>(y);
      return madd(y * s, 1.0f - s, s);
    };
    const auto step = [&](int64_t t, F slope_t) GAMUT_INLINED {
      for (int64_t i = a.width - 1; i > 0; --i) d[i] = d[i - 1];
      d[0] = slope_t * load(b.d_out + t * a.stride + c, part);
      d_bias += d[0];
      F dx{};
      for (int64_t j = 0; j < a.width; ++j) {
        d_w[j] = madd(d[0], conv_input(a, t - a.width + 1 + j, c, part), d_w[j]);
        dx = madd(filter.w[j], d[a.width - 1 - j], dx);
      }
      if (b.dx) store(b.dx + t * a.stride + c, dx, part);
    };
    int64_t t = a.tokens;
    if (a.silu) {
      for (; t >= kBundle; t -= kBundle) {
        const Bundle<F> slopes = slope(filter.sums(a, t - kBundle, c, part));
#pragma GCC unroll 4
        for (int k = kBundle - 1; k >= 0; --k) step(t - kBundle + k, slopes.at[k]);
      }
    }
    for (; t > 0; --t) step(t - 1, a.silu ? slope(filter.sum(a, t - 1, c, part)) : set1(1.0f));
    for (int64_t j = 0; j < a.width; ++j) put_taps(b.d_w_CW, a.width, c, j, d_w[j], part);
    store(b.d_bias_C + c, d_bias, part);
  });
}

template void conv_forward(const ConvForward<float>&);
template void conv_forward(const ConvForward<bf16>&);
template void conv_backward(const ConvBackward<float>&);
template void conv_backward(const ConvBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
