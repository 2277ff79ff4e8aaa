#include "kernels/ref/linear_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gamut::kernels::ref {
namespace {

// One head at one token.
template <class T> struct Step {
  using P = accumulator<T>;
  P decay = 1, beta = 1, skip = 0;  // decay: e^g
  const T *q, *key, *value;
};
template <class T> Step<T> step_of(const LinearAttentionForward<T>& a, int64_t t, int64_t h) {
  Step<T> s{.q = a.q + t * a.q_stride, .key = a.key + t * a.k_stride, .value = a.value + t * a.v_stride + h * a.v};
  if (a.decay) s.decay = std::exp(a.decay[t * a.decay_stride + h]);
  if (a.beta) s.beta = a.beta[t * a.gate_stride + h];
  if (a.skip_H) s.skip = a.skip_H[h];
  return s;
}

// S ← e^g·S, then S ← S + kᵀ·d; error receives v − k·S (v without the delta rule), before β.
template <class T> void advance(const LinearAttentionForward<T>& a, const Step<T>& s, accumulator<T>* state, accumulator<T>* error) {
  using P = accumulator<T>;
  for (int64_t i = 0; i < a.k * a.v; ++i) state[i] *= s.decay;
  for (int64_t j = 0; j < a.v; ++j) {
    P seen = 0;
    if (a.delta)
      for (int64_t i = 0; i < a.k; ++i) seen += static_cast<P>(s.key[i]) * state[i * a.v + j];
    error[j] = static_cast<P>(s.value[j]) - seen;
  }
  for (int64_t i = 0; i < a.k; ++i)
    for (int64_t j = 0; j < a.v; ++j) state[i * a.v + j] += static_cast<P>(s.key[i]) * s.beta * error[j];
}

}  // namespace

template <class T> void linear_attention_forward(const LinearAttentionForward<T>& a) {
  using P = accumulator<T>;
  const int64_t size = a.k * a.v;
  std::vector<P> error(static_cast<size_t>(a.v));
  for (int64_t h = 0; h < a.heads; ++h) {
    P* state = a.state + h * size;
    for (int64_t t = 0; t < a.tokens; ++t) {
      if (a.starts && t % kAttentionChunk == 0) std::copy_n(state, size, a.starts + (t / kAttentionChunk * a.heads + h) * size);
      const Step<T> s = step_of(a, t, h);
      advance(a, s, state, error.data());
      for (int64_t j = 0; j < a.v; ++j) {
        P sum = 0;
        for (int64_t i = 0; i < a.k; ++i) sum += static_cast<P>(s.q[i]) * state[i * a.v + j];
        a.out[t * a.out_stride + h * a.v + j] = static_cast<T>(a.scale * sum + s.skip * static_cast<P>(s.value[j]));
      }
    }
  }
}

// Backwards over tokens, with dS the gradient of the state after the token; the states of one chunk are made again from its start.
template <class T> void linear_attention_backward(const LinearAttentionBackward<T>& b) {
  using P = accumulator<T>;
  const LinearAttentionForward<T>& a = b.forward;
  const int64_t size = a.k * a.v;
  for (int64_t t = 0; t < a.tokens; ++t) {
    std::fill_n(b.d_q + t * b.dq_stride, a.k, P(0));
    std::fill_n(b.d_key + t * b.dq_stride, a.k, P(0));
  }
  std::vector<P> states(static_cast<size_t>((kAttentionChunk + 1) * size)), errors(static_cast<size_t>(kAttentionChunk * a.v)), ds(static_cast<size_t>(size)), d_error(static_cast<size_t>(a.v));
  for (int64_t h = 0; h < a.heads; ++h) {
    std::fill(ds.begin(), ds.end(), P(0));
    if (b.d_skip_H) b.d_skip_H[h] = 0;
    for (int64_t chunk = (a.tokens - 1) / kAttentionChunk; chunk >= 0; --chunk) {
      const int64_t first = chunk * kAttentionChunk, count = std::min(kAttentionChunk, a.tokens - first);
      std::copy_n(a.starts + (chunk * a.heads + h) * size, size, states.data());
      for (int64_t c = 0; c < count; ++c) {
        P* next = states.data() + (c + 1) * size;
        std::copy_n(next - size, size, next);
        advance(a, step_of(a, first + c, h), next, errors.data() + c * a.v);
      }
      for (int64_t c = count - 1; c >= 0; --c) {
        const int64_t t = first + c;
        const Step<T> s = step_of(a, t, h);
        const P *before = states.data() + c * size, *after = before + size, *error = errors.data() + c * a.v;
        const T* d_out = b.d_out + t * a.out_stride + h * a.v;
        P *d_q = b.d_q + t * b.dq_stride, *d_key = b.d_key + t * b.dq_stride;
        for (int64_t i = 0; i < a.k; ++i)
          for (int64_t j = 0; j < a.v; ++j) {
            const P d = a.scale * static_cast<P>(d_out[j]);
            d_q[i] += d * after[i * a.v + j];
            ds[static_cast<size_t>(i * a.v + j)] += static_cast<P>(s.q[i]) * d;
          }
        P d_beta = 0;
        for (int64_t j = 0; j < a.v; ++j) {
          P sum = 0;
          for (int64_t i = 0; i < a.k; ++i) sum += static_cast<P>(s.key[i]) * ds[static_cast<size_t>(i * a.v + j)];
          d_beta += sum * error[j];
          d_error[static_cast<size_t>(j)] = s.beta * sum;
          b.d_value[t * a.v_stride + h * a.v + j] = static_cast<T>(s.beta * sum + s.skip * static_cast<P>(d_out[j]));
          if (b.d_skip_H) b.d_skip_H[h] += static_cast<P>(d_out[j]) * static_cast<P>(s.value[j]);
        }
        if (b.d_beta) b.d_beta[t * a.gate_stride + h] = d_beta;
        P d_decay = 0;
        for (int64_t i = 0; i < a.k; ++i)
          for (int64_t j = 0; j < a.v; ++j) {
            P& d = ds[static_cast<size_t>(i * a.v + j)];
            const P decayed = s.decay * before[i * a.v + j];
            d_key[i] += d * s.beta * error[j];
            if (a.delta) {
              d_key[i] -= d_error[static_cast<size_t>(j)] * decayed;
              d -= static_cast<P>(s.key[i]) * d_error[static_cast<size_t>(j)];
            }
            d_decay += d * decayed;
            d *= s.decay;
          }
        if (b.d_decay) b.d_decay[t * a.gate_stride + h] = d_decay;
      }
    }
  }
}

template void linear_attention_forward(const LinearAttentionForward<float>&);
template void linear_attention_forward(const LinearAttentionForward<bf16>&);
template void linear_attention_forward(const LinearAttentionForward<double>&);
template void linear_attention_backward(const LinearAttentionBackward<float>&);
template void linear_attention_backward(const LinearAttentionBackward<bf16>&);
template void linear_attention_backward(const LinearAttentionBackward<double>&);

}  // namespace gamut::kernels::ref
