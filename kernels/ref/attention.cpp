#include "kernels/ref/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gamut::kernels::ref {
namespace {

template <class P, class T> P dot(int64_t n, const T* a, const T* b) {
  P sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<P>(a[i]) * static_cast<P>(b[i]);
  return sum;
}

// A score of query i, head g and key j, and how it grows with scale·q·k.
template <class P> struct Score {
  P value, slope;
};
template <class T, class P = accumulator<T>> Score<P> score(const AttentionForward<T>& a, int64_t i, int64_t g, int64_t j) {
  Score<P> s{a.scale * dot<P>(a.head_dim, a.q + i * a.q_stride + g * a.head_dim, a.k + j * a.k_stride), 1};
  if (a.softcap > 0) {
    const P t = std::tanh(s.value / a.softcap);
    s = {a.softcap * t, 1 - t * t};
  }
  if (a.bias) s.value += a.bias[g * a.bias_stride + j - a.offset - i];
  return s;
}

}  // namespace

template <class T> void attention_forward(const AttentionForward<T>& a) {
  using P = accumulator<T>;
  P* p = reinterpret_cast<P*>(a.scratch);  // [keys]
  for (int64_t i = 0; i < a.queries; ++i) {
    const KeyRange sees = visible_keys(a.sight, a.keys, a.offset + i);
    for (int64_t g = 0; g < a.group; ++g) {
      T* out = a.out + i * a.out_stride + g * a.value_dim;
      P& lse = a.lse[g * a.queries + i];
      P highest = a.sink ? a.sink[g] : -std::numeric_limits<P>::infinity();
      if (sees.begin >= sees.end) {
        std::fill(out, out + a.value_dim, T{});
        lse = highest;
        continue;
      }
      for (int64_t j = sees.begin; j < sees.end; ++j) {
        p[j] = score(a, i, g, j).value;
        highest = std::max(highest, p[j]);
      }
      P sum = a.sink ? std::exp(a.sink[g] - highest) : P(0);
      for (int64_t j = sees.begin; j < sees.end; ++j) sum += p[j] = std::exp(p[j] - highest);
      lse = highest + std::log(sum);
      for (int64_t c = 0; c < a.value_dim; ++c) {
        P o = 0;
        for (int64_t j = sees.begin; j < sees.end; ++j) o += p[j] * static_cast<P>(a.v[j * a.v_stride + c]);
        out[c] = static_cast<T>(o / sum);
      }
    }
  }
}

// p = exp(s − lse);  dv_j = Σ p·do;  ds = p·(⟨do, v_j⟩ − ⟨do, o⟩), the bias's gradient;  dx = ds·slope·scale;  dq = Σ dx·k_j;  dk_j = Σ dx·q.
template <class T> void attention_backward(const AttentionBackward<T>& a) {
  using P = accumulator<T>;
  const AttentionForward<T>& f = a.forward;
  P* dq = reinterpret_cast<P*>(a.scratch);  // [head_dim]
  P* dk = dq + f.head_dim;                  // [keys, head_dim]
  P* dv = dk + f.keys * f.head_dim;         // [keys, value_dim]
  std::fill(dk, dv + f.keys * f.value_dim, P(0));
  for (int64_t i = 0; i < f.queries; ++i) {
    const KeyRange sees = visible_keys(f.sight, f.keys, f.offset + i);
    for (int64_t g = 0; g < f.group; ++g) {
      const T* q = f.q + i * f.q_stride + g * f.head_dim;
      const T* d_out = a.d_out + i * f.out_stride + g * f.value_dim;
      const P lse = f.lse[g * f.queries + i];
      const P delta = dot<P>(f.value_dim, d_out, f.out + i * f.out_stride + g * f.value_dim);
      std::fill(dq, dq + f.head_dim, P(0));
      for (int64_t j = sees.begin; j < sees.end; ++j) {
        const T* k = f.k + j * f.k_stride;
        const Score<P> s = score(f, i, g, j);
        const P p = std::exp(s.value - lse);
        const P ds = p * (dot<P>(f.value_dim, d_out, f.v + j * f.v_stride) - delta), dx = ds * s.slope * f.scale;
        if (a.d_bias) a.d_bias[g * f.bias_stride + j - f.offset - i] += ds;
        for (int64_t c = 0; c < f.value_dim; ++c) dv[j * f.value_dim + c] += p * static_cast<P>(d_out[c]);
        for (int64_t c = 0; c < f.head_dim; ++c) {
          dq[c] += dx * static_cast<P>(k[c]);
          dk[j * f.head_dim + c] += dx * static_cast<P>(q[c]);
        }
      }
      T* out = a.dq + i * f.q_stride + g * f.head_dim;
      for (int64_t c = 0; c < f.head_dim; ++c) out[c] = static_cast<T>(dq[c]);
    }
  }
  for (int64_t j = 0; j < f.keys; ++j) {
    for (int64_t c = 0; c < f.head_dim; ++c) a.dk[j * f.k_stride + c] = static_cast<T>(dk[j * f.head_dim + c]);
    for (int64_t c = 0; c < f.value_dim; ++c) a.dv[j * f.v_stride + c] = static_cast<T>(dv[j * f.value_dim + c]);
  }
}

template void attention_forward(const AttentionForward<float>&);
template void attention_forward(const AttentionForward<bf16>&);
template void attention_forward(const AttentionForward<double>&);
template void attention_backward(const AttentionBackward<float>&);
template void attention_backward(const AttentionBackward<bf16>&);
template void attention_backward(const AttentionBackward<double>&);

}  // namespace gamut::kernels::ref
