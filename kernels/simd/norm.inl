// RMSNorm and LayerNorm: one sweep for the sums, one for the output while the row is in the first-level cache.
#include "kernels/simd/kernels.h"
#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

template <class T, class Part> GAMUT_INLINE void fetch(const T* p, Part) { __builtin_prefetch(p); }
template <class T> GAMUT_INLINE void fetch(const T* p, Bundled) {
  constexpr int kLine = 64 / sizeof(T);
#pragma GCC unroll 4
  for (int i = 0; i < kBundle * W; i += kLine) __builtin_prefetch(p + i);
}

// Longest row whose sum, or whose numbers as float32, wait for the later sweeps in the first-level cache instead of being made again.
constexpr int64_t kHeldRow = 4096;

template <class T, bool kLayer, bool kAdd, bool kPast, bool kHold> void norm_forward_rows(const NormForward<T>& a) {
  alignas(64) float held_D[kHold ? kHeldRow : 1];
  const float d = static_cast<float>(a.d), eps = static_cast<float>(a.eps);
  for (int64_t n = 0; n < a.rows; ++n) {
    const T *x_D = a.x_ND + n * a.d, *y_D = kAdd ? a.y_ND + n * a.d : nullptr;
    const auto input = [&](int64_t i, auto part) GAMUT_INLINED {
      if constexpr (kAdd) return each([](F v) GAMUT_INLINED { return rounded<T>(v); }, load(x_D + i, part) + load(y_D + i, part));
      else return load(x_D + i, part);
    };
    const auto again = [&](int64_t i, auto part) GAMUT_INLINED {
      if constexpr (kHold) return load(held_D + i, part);
      else return input(i, part);
    };
    F sums[kBundle] = {}, squares[kBundle] = {};
    sweep_bundles(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      const auto s = input(i, part);
      if constexpr (kHold) store(held_D + i, s, part);
      if constexpr (kLayer) add_to(sums, s);
      else add_products(squares, s, s);
    });
    float mean = 0;
    if constexpr (kLayer) {
      mean = sum(summed(sums)) / d;
      if (a.mean_N) a.mean_N[n] = mean;
      sweep_bundles(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
        const auto c = keep(again(i, part) - mean, part);
        add_products(squares, c, c);
      });
    }
    const float inv = 1 / __builtin_sqrtf(sum(summed(squares)) / d + eps);
    a.inv_N[n] = inv;
    T *sum_D = kAdd ? a.sum_ND + n * a.d : nullptr, *out_D = a.out_ND + n * a.d;
    sweep_bundles(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      fetch(x_D + a.d + i, part);  // memory is read all the time
      auto y = again(i, part);
      if constexpr (kAdd) {
        fetch(y_D + a.d + i, part);
        put<kPast>(sum_D + i, y, part);
      }
      if constexpr (kLayer) y = y - mean;
      y = y * inv;
      if (a.gain_D) y = y * load(a.gain_D + i, part);
      if (kLayer && a.bias_D) y = y + load(a.bias_D + i, part);
      put<kPast>(out_D + i, y, part);
    });
  }
  if constexpr (kPast) finish_puts();
}

template <class T, bool kLayer, bool kPast> void norm_backward_rows(const NormBackward<T>& a) {
  const float d = static_cast<float>(a.d);
  for (int64_t n = 0; n < a.rows; ++n) {
    const T *s_D = a.sum_ND + n * a.d, *d_out_D = a.d_out_ND + n * a.d;
    const T* d_sum_D = a.d_sum_ND ? a.d_sum_ND + n * a.d : nullptr;
    const float mean = kLayer ? a.mean_N[n] : 0.0f, inv = a.inv_N[n];
    F u_sum[kBundle] = {}, ux_sum[kBundle] = {};
    sweep_bundles(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      auto u = load(d_out_D + i, part), c = load(s_D + i, part);
      if (a.gain_D) u = u * load(a.gain_D + i, part);
      if constexpr (kLayer) {
        add_to(u_sum, u);
        c = c - mean;
      }
      add_products(ux_sum, u, c);
    });
    const float u_mean = kLayer ? sum(summed(u_sum)) / d : 0.0f;
    const float ux_mean = sum(summed(ux_sum)) * inv / d;
    T* dx_D = a.dx_ND + n * a.d;
    sweep_bundles(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      fetch(s_D + a.d + i, part);
      fetch(d_out_D + a.d + i, part);
      const auto d_out = load(d_out_D + i, part);
      auto c = load(s_D + i, part), u = d_out;
      if constexpr (kLayer) c = c - mean;
      const auto x_hat = c * inv;
      if (a.gain_D) u = u * load(a.gain_D + i, part);
      if constexpr (kLayer) u = u - u_mean;
      auto dx = inv * nmadd(x_hat, set1(ux_mean), u);
      if (d_sum_D) {
        fetch(d_sum_D + a.d + i, part);
        dx = dx + load(d_sum_D + i, part);
      }
      if (a.d_gain_D) store(a.d_gain_D + i, madd(d_out, x_hat, load(a.d_gain_D + i, part)), part);
      if (kLayer && a.d_bias_D) store(a.d_bias_D + i, load(a.d_bias_D + i, part) + d_out, part);
      put<kPast>(dx_D + i, dx, part);
    });
  }
  if constexpr (kPast) finish_puts();
}

}  // namespace

template <class T> void norm_forward(const NormForward<T>& a) {
  const bool past = a.past_caches && can_put(a.out_ND, a.d) && (!a.y_ND || can_put(a.sum_ND, a.d));
  const auto run = [&]<bool kLayer, bool kAdd>() {
    constexpr bool kHold = kAdd || sizeof(T) < sizeof(float);
    if (kHold && a.d <= kHeldRow) past ? norm_forward_rows<T, kLayer, kAdd, true, kHold>(a) : norm_forward_rows<T, kLayer, kAdd, false, kHold>(a);
    else past ? norm_forward_rows<T, kLayer, kAdd, true, false>(a) : norm_forward_rows<T, kLayer, kAdd, false, false>(a);
  };
  if (a.kind == NormKind::layer) a.y_ND ? run.template operator()<true, true>() : run.template operator()<true, false>();
  else a.y_ND ? run.template operator()<false, true>() : run.template operator()<false, false>();
}
template <class T> void norm_backward(const NormBackward<T>& a) {
  const bool past = a.past_caches && can_put(a.dx_ND, a.d);
  if (a.kind == NormKind::layer) past ? norm_backward_rows<T, true, true>(a) : norm_backward_rows<T, true, false>(a);
  else past ? norm_backward_rows<T, false, true>(a) : norm_backward_rows<T, false, false>(a);
}

template void norm_forward(const NormForward<float>&);
template void norm_forward(const NormForward<bf16>&);
template void norm_backward(const NormBackward<float>&);
template void norm_backward(const NormBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
