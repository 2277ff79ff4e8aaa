#include "kernels/ref/activation.h"

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

}  // namespace

template <class P> ActivationValue<P> activate(Activation activation, P x) {
  switch (activation) {
    case Activation::silu:
      return swish(x, P(1));
    case Activation::quick_gelu:
      return swish(x, P(1.702));
    case Activation::gelu: {
      const P below = std::erfc(-x / std::numbers::sqrt2_v<P>) / 2;  // P(standard normal < x)
      const P density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<P> / std::numbers::sqrt2_v<P>;
      return {x * below, below + x * density};
    }
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
    case Activation::identity:
      break;
  }
  return {x, P(1)};
}

template <class T> void gated_forward(const GatedForward<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P weight = a.weight_N ? a.weight_N[n] : P(1);
    for (int64_t i = n * a.h; i < (n + 1) * a.h; ++i) {
      const P up = a.up_NH ? static_cast<P>(a.up_NH[i]) : P(1);
      a.out_NH[i] = static_cast<T>(weight * (activate(a.activation, static_cast<P>(a.gate_NH[i])).value * up));
    }
  }
}

template <class T> void gated_backward(const GatedBackward<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P weight = a.weight_N ? a.weight_N[n] : P(1);
    P d_weight = 0;
    for (int64_t i = n * a.h; i < (n + 1) * a.h; ++i) {
      const auto [value, slope] = activate(a.activation, static_cast<P>(a.gate_NH[i]));
      const P up = a.up_NH ? static_cast<P>(a.up_NH[i]) : P(1), d_out = static_cast<P>(a.d_out_NH[i]);
      d_weight += value * up * d_out;
      if (a.out_NH) a.out_NH[i] = static_cast<T>(weight * (value * up));
      a.d_gate_NH[i] = static_cast<T>(weight * d_out * up * slope);
      if (a.up_NH) a.d_up_NH[i] = static_cast<T>(weight * d_out * value);
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
