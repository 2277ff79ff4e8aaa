#include "kernels/ref/activation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gamut::kernels::ref {
namespace {

template <class P> P sigmoid(P x) { return 1 / (1 + std::exp(-x)); }

// x·σ(c·x), whose slope is σ + c·x·σ·(1−σ).
template <class P> ActivationValue<P> swish(P x, P c) {
  const P s = sigmoid(c * x);
  return {x * s, s + c * x * s * (1 - s)};
}

// P(standard normal < x), and its density there.
template <class P> ActivationValue<P> normal(P x) {
  return {std::erfc(-x / std::numbers::sqrt2_v<P>) / 2, std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<P> / std::numbers::sqrt2_v<P>};
}

template <class P> ActivationValue<P> gelu(P x) {
  const auto [below, density] = normal(x);
  return {x * below, below + x * density};
}

template <class P> P softplus(P x) { return std::max(x, P(0)) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

template <class P> ActivationValue<P> activate(Activation activation, P x) {
  switch (activation) {
    case Activation::silu:
      return swish(x, P(1));
    case Activation::quick_gelu:
      return swish(x, P(1.702));
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh: {  // (1 + tanh u)/2 = σ(2u)
      const P c = 2 * std::numbers::sqrt2_v<P> * std::numbers::inv_sqrtpi_v<P>;
      const P s = sigmoid(c * (x + P(0.044715) * x * x * x));
      return {x * s, s + x * s * (1 - s) * c * (1 + P(3 * 0.044715) * x * x)};
    }
    case Activation::relu:
      return {x > 0 ? x : P(0), x > 0 ? P(1) : P(0)};
    case Activation::relu2:
      return {x > 0 ? x * x : P(0), x > 0 ? 2 * x : P(0)};
    case Activation::tanh:
      return {std::tanh(x), 1 - std::tanh(x) * std::tanh(x)};
    case Activation::sigmoid:
      return {sigmoid(x), sigmoid(x) * sigmoid(-x)};
    case Activation::mish: {
      const P t = std::tanh(softplus(x));
      return {x * t, t + x * (1 - t * t) * sigmoid(x)};
    }
    case Activation::leaky_relu:
      return {x > 0 ? x : x * P(0.01), x > 0 ? P(1) : P(0.01)};
    case Activation::relu6:
      return {std::clamp(x, P(0), P(6)), x > 0 && x < 6 ? P(1) : P(0)};
    case Activation::hardswish:
      return {x * std::clamp(x + 3, P(0), P(6)) / 6, x < -3 ? P(0) : x > 3 ? P(1) : x / 3 + P(0.5)};
    case Activation::laplace: {
      const auto [below, density] = normal((x - P(kLaplaceMean)) / P(kLaplaceDeviation));
      return {below, density / P(kLaplaceDeviation)};
    }
    case Activation::sqrt_softplus: {
      const P y = std::sqrt(softplus(x));
      return {y, y > 0 ? sigmoid(x) / (2 * y) : P(0)};
    }
    case Activation::gelu_10: {
      const auto [value, slope] = gelu(x);
      return {std::clamp(value, P(-10), P(10)), std::abs(value) <= 10 ? slope : P(0)};
    }
    case Activation::identity:
      break;
  }
  return {x, P(1)};
}

namespace {

// act(gate), its slope, up and the slope of up, with the cuts of `a`.
template <class P> struct Gated {
  ActivationValue<P> gate;
  P up, up_slope;
};
template <class P, class A> Gated<P> gated(const A& a, int64_t i) {
  const P gate = static_cast<P>(a.gate_NH[i]), up = a.up_NH ? static_cast<P>(a.up_NH[i]) : P(1);
  Gated<P> g{activate(a.activation, a.limit > 0 ? std::min(gate, a.limit) : gate), up, P(1)};
  if (a.limit > 0 && gate > a.limit) g.gate.slope = 0;
  if (!a.up_NH) return g;
  if (a.limit > 0) {
    g.up_slope = std::abs(up) <= a.limit ? P(1) : P(0);
    g.up = std::clamp(up, -a.limit, a.limit);
  }
  g.up += a.up_shift;
  return g;
}

}  // namespace

template <class T> void gated_forward(const GatedForward<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P weight = a.weight_N ? a.weight_N[n] : P(1);
    const int64_t first = n * (a.stride ? a.stride : a.h);
    for (int64_t i = first; i < first + a.h; ++i) {
      const Gated<P> g = gated<P>(a, i);
      a.out_NH[i] = static_cast<T>(weight * (g.gate.value * g.up));
    }
  }
}

template <class T> void gated_backward(const GatedBackward<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P weight = a.weight_N ? a.weight_N[n] : P(1);
    P d_weight = 0;
    for (int64_t i = n * a.h; i < (n + 1) * a.h; ++i) {
      const Gated<P> g = gated<P>(a, i);
      const P d_out = static_cast<P>(a.d_out_NH[i]);
      d_weight += g.gate.value * g.up * d_out;
      if (a.out_NH) a.out_NH[i] = static_cast<T>(weight * (g.gate.value * g.up));
      a.d_gate_NH[i] = static_cast<T>(weight * d_out * g.up * g.gate.slope);
      if (a.up_NH) a.d_up_NH[i] = static_cast<T>(weight * d_out * g.gate.value * g.up_slope);
    }
    if (a.d_weight_N) a.d_weight_N[n] = d_weight;
  }
}

template ActivationValue<float> activate(Activation, float);
template ActivationValue<double> activate(Activation, double);
template void gated_forward(const GatedForward<float>&);
template void gated_forward(const GatedForward<bf16>&);
template void gated_forward(const GatedForward<double>&);
template void gated_backward(const GatedBackward<float>&);
template void gated_backward(const GatedBackward<bf16>&);
template void gated_backward(const GatedBackward<double>&);

}  // namespace gamut::kernels::ref
