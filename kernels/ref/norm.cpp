#include "kernels/ref/norm.h"

#include <cmath>

namespace gamut::kernels::ref {

template <class T> void norm_forward(const NormForward<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const T* s_D = a.x_ND + n * a.d;
    if (a.y_ND) {
      T* sum_D = a.sum_ND + n * a.d;
      for (int64_t d = 0; d < a.d; ++d) sum_D[d] = static_cast<T>(static_cast<P>(s_D[d]) + static_cast<P>(a.y_ND[n * a.d + d]));
      s_D = sum_D;
    }
    P mean = 0;
    if (a.kind == NormKind::layer) {
      for (int64_t d = 0; d < a.d; ++d) mean += static_cast<P>(s_D[d]);
      mean /= static_cast<P>(a.d);
      if (a.mean_N) a.mean_N[n] = mean;
    }
    P squares = 0;
    for (int64_t d = 0; d < a.d; ++d) squares += (static_cast<P>(s_D[d]) - mean) * (static_cast<P>(s_D[d]) - mean);
    const P inv = 1 / std::sqrt(squares / static_cast<P>(a.d) + static_cast<P>(a.eps));
    a.inv_N[n] = inv;
    for (int64_t d = 0; d < a.d; ++d) {
      const P gain = a.gain_D ? a.gain_D[d] : P(1), bias = a.bias_D ? a.bias_D[d] : P(0);
      a.out_ND[n * a.d + d] = static_cast<T>((static_cast<P>(s_D[d]) - mean) * inv * gain + bias);
    }
  }
}

// With x̂ = (s − mean)·inv and u = gain·d_out:  ds = inv · (u − [layer] mean(u) − x̂·mean(u·x̂)).
template <class T> void norm_backward(const NormBackward<T>& a) {
  using P = accumulator<T>;
  const bool layer = a.kind == NormKind::layer;
  for (int64_t n = 0; n < a.rows; ++n) {
    const T* s_D = a.sum_ND + n * a.d;
    const T* d_out_D = a.d_out_ND + n * a.d;
    const P mean = layer ? a.mean_N[n] : P(0), inv = a.inv_N[n];
    P u_mean = 0, ux_mean = 0;
    for (int64_t d = 0; d < a.d; ++d) {
      const P u = static_cast<P>(d_out_D[d]) * (a.gain_D ? a.gain_D[d] : P(1));
      u_mean += u;
      ux_mean += u * ((static_cast<P>(s_D[d]) - mean) * inv);
    }
    u_mean = layer ? u_mean / static_cast<P>(a.d) : P(0);
    ux_mean /= static_cast<P>(a.d);
    for (int64_t d = 0; d < a.d; ++d) {
      const P d_out = static_cast<P>(d_out_D[d]), x_hat = (static_cast<P>(s_D[d]) - mean) * inv;
      const P u = d_out * (a.gain_D ? a.gain_D[d] : P(1));
      P dx = inv * (u - u_mean - x_hat * ux_mean);
      if (a.d_sum_ND) dx += static_cast<P>(a.d_sum_ND[n * a.d + d]);
      if (a.d_gain_D) a.d_gain_D[d] += d_out * x_hat;
      if (a.d_bias_D) a.d_bias_D[d] += d_out;
      a.dx_ND[n * a.d + d] = static_cast<T>(dx);
    }
  }
}

template void norm_forward(const NormForward<float>&);
template void norm_forward(const NormForward<bf16>&);
template void norm_forward(const NormForward<double>&);
template void norm_backward(const NormBackward<float>&);
template void norm_backward(const NormBackward<bf16>&);
template void norm_backward(const NormBackward<double>&);

}  // namespace gamut::kernels::ref
