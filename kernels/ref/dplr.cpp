#include "kernels/ref/dplr.h"

#include <algorithm>
#include <cmath>

namespace gamut::kernels::ref {
namespace {

// The state after token t from the one before it; u receives a·S.
template <class T> void advance(const DplrForward<T>& f, int64_t t, const accumulator<T>* before, accumulator<T>* after, accumulator<T>* u) {
  using P = accumulator<T>;
  const int64_t kt = t * f.k_stride, vt = t * f.v_stride;
  for (int64_t j = 0; j < f.v; ++j) {
    u[j] = 0;
    if (f.a)
      for (int64_t i = 0; i < f.k; ++i) u[j] += static_cast<P>(f.a[kt + i]) * before[i * f.v + j];
  }
  for (int64_t i = 0; i < f.k; ++i)
    for (int64_t j = 0; j < f.v; ++j)
      after[i * f.v + j] = std::exp(f.decay[kt + i]) * before[i * f.v + j] + (f.b ? static_cast<P>(f.b[kt + i]) * u[j] : P(0)) + static_cast<P>(f.key[kt + i]) * static_cast<P>(f.value[vt + j]);
}

}  // namespace

template <class T> void dplr_forward(const DplrForward<T>& f) {
  using P = accumulator<T>;
  P* u = reinterpret_cast<P*>(f.scratch);
  for (int64_t t = 0; t < f.tokens; ++t) {
    if (f.starts && t % kDplrChunk == 0) std::copy_n(f.state, f.k * f.v, f.starts + t / kDplrChunk * f.k * f.v);
    if (!f.early) advance(f, t, f.state, f.state, u);
    for (int64_t j = 0; j < f.v; ++j) {
      P sum = 0;
      for (int64_t i = 0; i < f.k; ++i) sum += static_cast<P>(f.q[t * f.k_stride + i]) * f.state[i * f.v + j];
      f.out[t * f.v_stride + j] = static_cast<T>(f.scale * sum);
    }
    if (f.early) advance(f, t, f.state, f.state, u);
  }
}

template <class T> void dplr_backward(const DplrBackward<T>& b) {
  using P = accumulator<T>;
  const DplrForward<T>& f = b.forward;
  const int64_t size = f.k * f.v;
  P *states = reinterpret_cast<P*>(f.scratch), *ds = states + (kDplrChunk + 1) * size, *u = ds + size, *du = u + kDplrChunk * f.v;
  std::fill_n(ds, size, P(0));
  for (int64_t chunk = (f.tokens - 1) / kDplrChunk; chunk >= 0; --chunk) {
    const int64_t first = chunk * kDplrChunk, count = std::min(kDplrChunk, f.tokens - first);
    std::copy_n(f.starts + chunk * size, size, states);
    for (int64_t c = 0; c < count; ++c) advance(f, first + c, states + c * size, states + (c + 1) * size, u + c * f.v);
    for (int64_t c = count - 1; c >= 0; --c) {
      const int64_t kt = (first + c) * f.k_stride, vt = (first + c) * f.v_stride;
      const P *before = states + c * size, *after = before + size, *u_t = u + c * f.v;
      const auto undo_reading = [&](const P* state) {
        for (int64_t i = 0; i < f.k; ++i) {
          P d_q = 0;
          for (int64_t j = 0; j < f.v; ++j) {
            const P d_out = f.scale * static_cast<P>(b.d_out[vt + j]);
            d_q += state[i * f.v + j] * d_out;
            ds[i * f.v + j] += static_cast<P>(f.q[kt + i]) * d_out;
          }
          b.d_q[kt + i] = static_cast<T>(d_q);
        }
      };
      if (!f.early) undo_reading(after);
      for (int64_t j = 0; j < f.v; ++j) {
        P d_value = 0;
        du[j] = 0;
        for (int64_t i = 0; i < f.k; ++i) {
          d_value += static_cast<P>(f.key[kt + i]) * ds[i * f.v + j];
          if (f.b) du[j] += static_cast<P>(f.b[kt + i]) * ds[i * f.v + j];
        }
        b.d_value[vt + j] = static_cast<T>(d_value);
      }
      for (int64_t i = 0; i < f.k; ++i) {
        const P decay = std::exp(f.decay[kt + i]);
        P d_key = 0, d_a = 0, d_b = 0, d_decay = 0;
        for (int64_t j = 0; j < f.v; ++j) {
          P& d = ds[i * f.v + j];
          d_key += d * static_cast<P>(f.value[vt + j]);
          d_b += d * u_t[j];
          d_a += du[j] * before[i * f.v + j];
          d_decay += d * decay * before[i * f.v + j];
          d = decay * d + (f.a ? static_cast<P>(f.a[kt + i]) * du[j] : P(0));
        }
        b.d_key[kt + i] = static_cast<T>(d_key);
        b.d_decay[kt + i] = d_decay;
        if (!f.a) continue;
        b.d_a[kt + i] = static_cast<T>(d_a);
        b.d_b[kt + i] = static_cast<T>(d_b);
      }
      if (f.early) undo_reading(before);
    }
  }
}

template void dplr_forward(const DplrForward<float>&);
template void dplr_forward(const DplrForward<bf16>&);
template void dplr_forward(const DplrForward<double>&);
template void dplr_backward(const DplrBackward<float>&);
template void dplr_backward(const DplrBackward<bf16>&);
template void dplr_backward(const DplrBackward<double>&);

}  // namespace gamut::kernels::ref
