// The selective scan: W channels at a time, the states of all N in the first-level cache.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// −A of the channels from c on, as vectors.
template <class T> GAMUT_INLINE void scan_rates(const ScanForward<T>& a, int64_t c, auto part, F* rate) {
  int64_t lanes = W;
  if constexpr (requires { part.count; }) lanes = part.count;
  for (int64_t n = 0; n < a.n; ++n) {
    F log_rate{};
    for (int64_t i = 0; i < lanes; ++i) log_rate[i] = a.log_rate_EN[(c + i) * a.n + n];
    rate[n] = exp(log_rate);
  }
}

constexpr float kMinusLog2e = -1.44269504f;

// Vectors n … of an array of them.
GAMUT_INLINE F state(const F* x, int64_t n, All) { return x[n]; }
GAMUT_INLINE Bundle<F> state(const F* x, int64_t n, Bundled) { return {x[n], x[n + 1], x[n + 2], x[n + 3]}; }
GAMUT_INLINE void put_state(F* x, int64_t n, F value, All) { x[n] = value; }
GAMUT_INLINE void put_state(F* x, int64_t n, const Bundle<F>& value, Bundled) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) x[n + k] = value.at[k];
}
// Numbers, each in all lanes of a vector.
GAMUT_INLINE F spread1(const float* p, All) { return set1(*p); }
GAMUT_INLINE Bundle<F> spread1(const float* p, Bundled) { return {set1(p[0]), set1(p[1]), set1(p[2]), set1(p[3])}; }
template <class Body> GAMUT_INLINE void sweep_states(int64_t states, const Body& body) {
  int64_t n = 0;
  for (; n + kBundle <= states; n += kBundle) body(n, Bundled{});
  for (; n < states; ++n) body(n, All{});
}

}  // namespace

template <class T> void scan_forward(const ScanForward<T>& a) {
  F *rate = reinterpret_cast<F*>(a.scratch), *h = rate + a.n;
  sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    scan_rates(a, c, part, rate);
    for (int64_t n = 0; n < a.n; ++n) h[n] = load(a.state + n * a.state_stride + c, part);
    for (int64_t t = 0; t < a.tokens; ++t) {
      if (a.starts && t % kScanChunk == 0)
        for (int64_t n = 0; n < a.n; ++n) store(a.starts + (t / kScanChunk * a.n + n) * a.state_stride + c, h[n], part);
      const F x = load(a.x + t * a.stride + c, part), delta = load(a.delta + t * a.stride + c, part), dx = delta * x;
      const F steps = kMinusLog2e * delta;
      F y[kBundle] = {load(a.skip_E + c, part) * x};
      sweep_states(a.n, [&](int64_t n, auto kind) GAMUT_INLINED {
        const auto next = madd(exp2(steps * state(rate, n, kind)), state(h, n, kind), spread1(a.b_TN + t * a.n + n, kind) * dx);
        put_state(h, n, next, kind);
        add_to(y, spread1(a.c_TN + t * a.n + n, kind) * next);
      });
      store(a.out + t * a.stride + c, summed(y), part);
    }
    for (int64_t n = 0; n < a.n; ++n) store(a.state + n * a.state_stride + c, h[n], part);
  });
}

template <class T> void scan_backward(const ScanBackward<T>& b) {
  const ScanForward<T>& a = b.forward;
  const int64_t blocks = (a.channels + W - 1) / W;
  F *rate = reinterpret_cast<F*>(a.scratch), *h = rate + a.n, *decay = h + (kScanChunk + 1) * a.n;
  F *d_b = decay + kScanChunk * a.n, *d_c = d_b + kScanChunk * a.n, *g = d_c + kScanChunk * a.n, *d_rate = g + blocks * a.n;
  for (int64_t i = 0; i < 2 * blocks * a.n; ++i) g[i] = F{};
  for (int64_t e = 0; e < a.channels; ++e) b.d_skip_E[e] = 0;
  for (int64_t chunk = (a.tokens - 1) / kScanChunk; chunk >= 0; --chunk) {
    const int64_t first = chunk * kScanChunk, count = a.tokens - first < kScanChunk ? a.tokens - first : kScanChunk;
    for (int64_t i = 0; i < count * a.n; ++i) d_b[i] = d_c[i] = F{};
    sweep(a.channels, [&](int64_t c, auto part) GAMUT_INLINED {
      F *g_N = g + c / W * a.n, *d_rate_N = d_rate + c / W * a.n;
      scan_rates(a, c, part, rate);
      for (int64_t n = 0; n < a.n; ++n) h[n] = load(a.starts + (chunk * a.n + n) * a.state_stride + c, part);
      for (int64_t s = 0; s < count; ++s) {
        const int64_t t = first + s;
        const F delta = load(a.delta + t * a.stride + c, part), dx = delta * load(a.x + t * a.stride + c, part);
        const F steps = kMinusLog2e * delta;
        sweep_states(a.n, [&](int64_t n, auto kind) GAMUT_INLINED {
          const auto d = exp2(steps * state(rate, n, kind));
          put_state(decay, s * a.n + n, d, kind);
          put_state(h, (s + 1) * a.n + n, madd(d, state(h, s * a.n + n, kind), spread1(a.b_TN + t * a.n + n, kind) * dx), kind);
        });
      }
      F d_skip = load(b.d_skip_E + c, part);
      const F skip = load(a.skip_E + c, part);
      for (int64_t s = count - 1; s >= 0; --s) {
        const int64_t t = first + s;
        const F x = load(a.x + t * a.stride + c, part), delta = load(a.delta + t * a.stride + c, part), d_out = load(b.d_out + t * a.stride + c, part), dx = delta * x;
        F into_x{}, d_delta{};
        for (int64_t n = 0; n < a.n; ++n) {
          const F gn = madd(d_out, set1(a.c_TN[t * a.n + n]), g_N[n]);
          d_c[s * a.n + n] = madd(d_out, h[(s + 1) * a.n + n], d_c[s * a.n + n]);
          d_b[s * a.n + n] = madd(gn, dx, d_b[s * a.n + n]);
          into_x = madd(gn, set1(a.b_TN[t * a.n + n]), into_x);
          g_N[n] = gn * decay[s * a.n + n];
          const F through = g_N[n] * h[s * a.n + n] * rate[n];
          d_rate_N[n] = nmadd(through, delta, d_rate_N[n]);
          d_delta -= through;
        }
        store(b.d_delta + t * a.stride + c, madd(x, into_x, d_delta), part);
        store(b.dx + t * a.stride + c, madd(delta, into_x, skip * d_out), part);
        d_skip = madd(d_out, x, d_skip);
      }
      store(b.d_skip_E + c, d_skip, part);
    });
    for (int64_t i = 0; i < count * a.n; ++i) {
      b.d_b_TN[first * a.n + i] = sum(d_b[i]);
      b.d_c_TN[first * a.n + i] = sum(d_c[i]);
    }
  }
  for (int64_t e = 0; e < a.channels; ++e)
    for (int64_t n = 0; n < a.n; ++n) b.d_log_rate_EN[e * a.n + n] = d_rate[e / W * a.n + n][e % W];
}

template void scan_forward(const ScanForward<float>&);
template void scan_forward(const ScanForward<bf16>&);
template void scan_backward(const ScanBackward<float>&);
template void scan_backward(const ScanBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
