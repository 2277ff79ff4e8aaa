// Activations of feed-forward layers, plain or gated, with an optional weight per row (mixture of experts).
//
// Against the definition in double, before rounding to bf16 (activation_test): values 1e-6 relative + 4e-6 and gradients 2e-6
// relative + 8e-6 for |gate| ≤ 6 and |up| ≤ 2; tanh alone 5e-7 relative, gelu alone 3e-7·|x|. For T bf16 σ may be off by 4e-6 more, a thousandth of the rounding.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

// silu x·σ(x); gelu exact (erf); gelu_tanh; relu; relu2 = relu²; identity; quick_gelu x·σ(1.702x); tanh; sigmoid; mish
// x·tanh(softplus(x)) [Misra 2019]; leaky_relu max(x, x/100); relu6 min(relu, 6); hardswish x·relu6(x + 3)/6 [Howard et al. 2019];
// laplace P(normal variable of mean √½ and variance 1/4π < x) [Ma et al., Mega, 2022]; sqrt_softplus; gelu_10 = gelu within ±10.
enum class Activation : uint8_t {
  silu,
  gelu,
  gelu_tanh,
  relu,
  relu2,
  identity,
  quick_gelu,
  tanh,
  sigmoid,
  mish,
  leaky_relu,
  relu6,
  hardswish,
  laplace,
  sqrt_softplus,
  gelu_10
};
// The normal variable of laplace, in the digits that PyTorch's models take.
constexpr double kLaplaceMean = 0.707107, kLaplaceDeviation = 0.282095;

// out = weight · act(gate) [· (up + up_shift)], computed in P and rounded once to T. limit > 0: gate is cut at limit and up at
// ±limit before [gpt-oss, 2025]; their gradient is zero beyond.
template <class T> struct GatedForward {
  using P = accumulator<T>;
  Activation activation;
  P limit = 0, up_shift = 0;
  int64_t rows, h;
  int64_t stride = 0;  // elements from one row to the next, of all three; 0: h
  const T* gate_NH;    // pre-activation
  const T* up_NH;      // ? null: plain activation
  const P* weight_N;   // ? null: 1
  T* out_NH;           // may be gate or up
};
// d_gate, d_up may alias gate, up. `out` (the forward's result, needed for the next weight gradient) is
// recomputed when asked for. d_weight[n] = Σ_h act(gate)·up·d_out.
template <class T> struct GatedBackward {
  using P = accumulator<T>;
  Activation activation;
  P limit = 0, up_shift = 0;
  int64_t rows, h;
  const T* gate_NH;
  const T* up_NH;     // ?
  const P* weight_N;  // ?
  const T* d_out_NH;
  T* d_gate_NH;
  T* d_up_NH;     // ? with up
  P* d_weight_N;  // ? with weight; overwritten
  T* out_NH;      // ?
};
template <class T> using GatedForwardFn = void (*)(const GatedForward<T>&);
template <class T> using GatedBackwardFn = void (*)(const GatedBackward<T>&);
template <class T> const Candidates<GatedForwardFn<T>>& gated_forward();
template <class T> const Candidates<GatedBackwardFn<T>>& gated_backward();

}  // namespace gamut::kernels
