// Activations: one loop per activation, so that the choice is outside it.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

template <class X> struct Activated {
  X value, slope;
};

// x cut at low and high; its slope is 0 beyond.
template <class X> struct Cut {
  X value, slope;
};
template <class X> GAMUT_INLINE Cut<X> cut(X x, float low, float high) {
  const X inside = min(set1(high), max(set1(low), x));
  return {inside, select(inside == x, set1(1.0f), F{})};
}

// Those that few models have, of one vector.
template <Activation kActivation> GAMUT_INLINE Activated<F> activated_rarely(F x) {
  const F one = set1(1.0f);
  if constexpr (kActivation == Activation::sigmoid) {
    const F s = sigmoid(x);
    return {s, s * (1.0f - s)};
  } else if constexpr (kActivation == Activation::mish) {  // tanh(ln(1 + e)) = n/(n + 2), n = e·(e + 2); 1 from x = 20 on
    const F e = exp(min(set1(20.0f), x)), n = e * (e + 2.0f), t = n / (n + 2.0f);
    return {x * t, madd(x * (e / (e + 1.0f)), 1.0f - t * t, t)};
  } else if constexpr (kActivation == Activation::leaky_relu) {
    return {max(x, x * 0.01f), select(x > 0.0f, one, set1(0.01f))};
  } else if constexpr (kActivation == Activation::relu6) {
    return {min(set1(6.0f), max(x, F{})), select((x > 0.0f) & (x < 6.0f), one, F{})};
  } else if constexpr (kActivation == Activation::hardswish) {
    const F share = cut(madd(x, set1(1.0f / 6), set1(0.5f)), 0, 1).value;
    return {x * share, select((x >= -3.0f) & (x <= 3.0f), madd(x, set1(1.0f / 3), set1(0.5f)), share)};
  } else if constexpr (kActivation == Activation::laplace) {
    constexpr float c = static_cast<float>(1 / kLaplaceDeviation);
    const Normal<F> normal_x = normal((x - static_cast<float>(kLaplaceMean)) * c);
    return {normal_x.below, normal_x.density * c};
  } else if constexpr (kActivation == Activation::sqrt_softplus) {
    const F y = sqrt(softplus(x));
    return {y, 0.5f * sigmoid(x) / max(y, set1(1e-30f))};  // 0/0 where e^x is 0
  } else {
    static_assert(kActivation == Activation::gelu_10);
    const Normal<F> normal_x = normal(x);
    const Cut<F> c = cut(x * normal_x.below, -10, 10);
    return {c.value, madd(x, normal_x.density, normal_x.below) * c.slope};
  }
}

// kCoarse: for results in bf16.
template <Activation kActivation, bool kCoarse, class X> GAMUT_INLINE Activated<X> activated(X x) {
  const X one = spread<X>(set1(1.0f));
  if constexpr (kActivation == Activation::silu || kActivation == Activation::quick_gelu) {
    constexpr float c = kActivation == Activation::silu ? 1.0f : 1.702f;
    const X s = sigmoid<kCoarse>(x * c), value = x * s;
    return {value, madd(value * c, 1.0f - s, s)};
  } else if constexpr (kActivation == Activation::gelu) {
    const Normal<X> normal_x = normal(x);
    return {x * normal_x.below, madd(x, normal_x.density, normal_x.below)};
  } else if constexpr (kActivation == Activation::gelu_tanh) {  // (1 + tanh u)/2 = σ(2u)
    constexpr float c = 1.59576912f;                            // 2·√(2/π)
    const X xx = x * x;
    const X s = sigmoid<kCoarse>(c * x * madd(xx, set1(0.044715f), set1(1.0f))), value = x * s;
    return {value, madd(value * (1.0f - s), c * madd(xx, set1(3 * 0.044715f), set1(1.0f)), s)};
  } else if constexpr (kActivation == Activation::relu) {
    return {max(x, F{}), select(x > 0.0f, one, F{})};
  } else if constexpr (kActivation == Activation::relu2) {
    const X r = max(x, F{});
    return {r * r, r + r};
  } else if constexpr (kActivation == Activation::tanh) {
    const X t = tanh(x);
    return {t, 1.0f - t * t};
  } else if constexpr (kActivation == Activation::identity) {
    return {x, one};
  } else {
    return {each([](F v) GAMUT_INLINED { return activated_rarely<kActivation>(v).value; }, x), each([](F v) GAMUT_INLINED { return activated_rarely<kActivation>(v).slope; }, x)};
  }
}

// kCut: with a limit or a shift.
template <Activation kActivation, bool kCut, class T> void forward_rows(const GatedForward<T>& a) {
  const float limit = a.limit > 0 ? a.limit : __builtin_inff();
  const int64_t stride = a.stride ? a.stride : a.h;
  for (int64_t n = 0; n < a.rows; ++n) {
    const T* gate_H = a.gate_NH + n * stride;
    const T* up_H = a.up_NH ? a.up_NH + n * stride : nullptr;
    const float weight = a.weight_N ? a.weight_N[n] : 1.0f;
    T* out_H = a.out_NH + n * stride;
    sweep_bundles(a.h, [&](int64_t i, auto part) GAMUT_INLINED {
      auto gate = load(gate_H + i, part);
      if constexpr (kCut) gate = min(set1(limit), gate);
      auto y = activated<kActivation, sizeof(T) == 2>(gate).value;
      if (up_H) {
        auto up = load(up_H + i, part);
        if constexpr (kCut) up = cut(up, -limit, limit).value + a.up_shift;
        y = y * up;
      }
      store(out_H + i, weight * y, part);
    });
  }
}

template <Activation kActivation, bool kCut, class T> void backward_rows(const GatedBackward<T>& a) {
  const float limit = a.limit > 0 ? a.limit : __builtin_inff();
  for (int64_t n = 0; n < a.rows; ++n) {
    const T *gate_H = a.gate_NH + n * a.h, *d_out_H = a.d_out_NH + n * a.h;
    const T* up_H = a.up_NH ? a.up_NH + n * a.h : nullptr;
    T* d_gate_H = a.d_gate_NH + n * a.h;
    T* d_up_H = a.up_NH ? a.d_up_NH + n * a.h : nullptr;
    T* out_H = a.out_NH ? a.out_NH + n * a.h : nullptr;
    const float weight = a.weight_N ? a.weight_N[n] : 1.0f;
    F d_weight{};
    sweep_bundles(a.h, [&](int64_t i, auto part) GAMUT_INLINED {
      auto gate = load(gate_H + i, part), gate_slope = gate;
      if constexpr (kCut) {
        const auto c = cut(gate, -__builtin_inff(), limit);
        gate = c.value;
        gate_slope = c.slope;
      }
      auto [value, slope] = activated<kActivation, sizeof(T) == 2>(gate);
      if constexpr (kCut) slope = slope * gate_slope;
      const auto d_out = load(d_out_H + i, part);  // zero beyond the row, and with it the sum
      auto product = value, d_gate = weight * d_out;
      if (up_H) {
        auto up = load(up_H + i, part), d_up = d_gate * value;
        if constexpr (kCut) {
          const auto c = cut(up, -limit, limit);
          up = c.value + a.up_shift;
          d_up = d_up * c.slope;
        }
        store(d_up_H + i, d_up, part);
        product = product * up;
        d_gate = d_gate * up;
      }
      d_weight += summed(product * d_out);
      if (out_H) store(out_H + i, weight * product, part);
      store(d_gate_H + i, d_gate * slope, part);
    });
    if (a.d_weight_N) a.d_weight_N[n] = sum(d_weight);
  }
}

// Calls run.template operator()<activation>().
template <class Run> void with_activation(Activation activation, Run run) {
  switch (activation) {
#define GAMUT_ACTIVATION(name) \
  case Activation::name:       \
    return run.template operator()<Activation::name>();
    GAMUT_ACTIVATION(silu)
    GAMUT_ACTIVATION(gelu)
    GAMUT_ACTIVATION(gelu_tanh)
    GAMUT_ACTIVATION(relu)
    GAMUT_ACTIVATION(relu2)
    GAMUT_ACTIVATION(identity)
    GAMUT_ACTIVATION(quick_gelu)
    GAMUT_ACTIVATION(tanh)
    GAMUT_ACTIVATION(sigmoid)
    GAMUT_ACTIVATION(mish)
    GAMUT_ACTIVATION(leaky_relu)
    GAMUT_ACTIVATION(relu6)
    GAMUT_ACTIVATION(hardswish)
    GAMUT_ACTIVATION(laplace)
    GAMUT_ACTIVATION(sqrt_softplus)
    GAMUT_ACTIVATION(gelu_10)
#undef GAMUT_ACTIVATION
  }
}

}  // namespace

template <class T> void gated_forward(const GatedForward<T>& a) {
  with_activation(a.activation, [&]<Activation kActivation>() {
    if (a.limit > 0 || a.up_shift != 0) forward_rows<kActivation, true>(a);
    else forward_rows<kActivation, false>(a);
  });
}

template <class T> void gated_backward(const GatedBackward<T>& a) {
  with_activation(a.activation, [&]<Activation kActivation>() {
    if (a.limit > 0 || a.up_shift != 0) backward_rows<kActivation, true>(a);
    else backward_rows<kActivation, false>(a);
  });
}

template void gated_forward(const GatedForward<float>&);
template void gated_forward(const GatedForward<bf16>&);
template void gated_backward(const GatedBackward<float>&);
template void gated_backward(const GatedBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
