#include "kernels/ref/wkv.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gamut::kernels::ref {
namespace {

constexpr double kNothing = -1e38;

// Sums that are e^p times a (with v) and b (without).
template <class P> struct Sums { P a, b, p; };
template <class P> Sums<P> load(const P* state, int64_t stride) {
  const P b = state[stride];
  return {state[0], b, b > 0 ? state[2 * stride] : P(kNothing)};
}

// What is read at a token with key k and value v.
template <class P> struct Reading {
  P y, share, top, sum;  // `share` of the token itself; the sum of weights is e^top·sum
};
template <class P> Reading<P> read(const Sums<P>& s, P k, P v, P bonus) {
  const P top = std::max(s.p, bonus + k), old = std::exp(s.p - top), now = std::exp(bonus + k - top), sum = old * s.b + now;
  return {(old * s.a + now * v) / sum, now / sum, top, sum};
}
template <class P> Sums<P> advanced(const Sums<P>& s, P k, P v, P rate) {
  const P top = std::max(s.p - rate, k), old = std::exp(s.p - rate - top), now = std::exp(k - top);
  return {old * s.a + now * v, old * s.b + now, top};
}

}  // namespace

template <class T> void wkv_forward(const WkvForward<T>& f) {
  using P = accumulator<T>;
  for (int64_t c = 0; c < f.channels; ++c) {
    const P rate = std::exp(f.log_rate_C[c]);
    Sums<P> s = load(f.state + c, f.state_stride);
    const auto put = [&](P* to) {
      to[c] = s.a;
      to[f.state_stride + c] = s.b;
      to[2 * f.state_stride + c] = s.p;
    };
    for (int64_t t = 0; t < f.tokens; ++t) {
      if (f.starts && t % kWkvChunk == 0) put(f.starts + t / kWkvChunk * 3 * f.state_stride);
      const P k = static_cast<P>(f.key[t * f.stride + c]), v = static_cast<P>(f.value[t * f.stride + c]);
      f.out[t * f.stride + c] = static_cast<T>(read(s, k, v, f.bonus_C[c]).y);
      s = advanced(s, k, v, rate);
    }
    put(f.state);
  }
}

// Backwards over tokens, with ∂/∂(sum with v) = e^q·with and ∂/∂(sum without) = −e^q·without of the sums after the token.
template <class T> void wkv_backward(const WkvBackward<T>& b) {
  using P = accumulator<T>;
  const WkvForward<T>& f = b.forward;
  for (int64_t c = 0; c < f.channels; ++c) {
    const P rate = std::exp(f.log_rate_C[c]), bonus = f.bonus_C[c];
    P with = 0, without = 0, q = P(kNothing), d_rate = 0, d_bonus = 0;
    for (int64_t chunk = (f.tokens - 1) / kWkvChunk; chunk >= 0; --chunk) {
      const int64_t first = chunk * kWkvChunk, count = std::min(kWkvChunk, f.tokens - first);
      std::array<Sums<P>, kWkvChunk> before;
      before[0] = load(f.starts + chunk * 3 * f.state_stride + c, f.state_stride);
      const auto key = [&](int64_t i) { return static_cast<P>(f.key[(first + i) * f.stride + c]); };
      const auto value = [&](int64_t i) { return static_cast<P>(f.value[(first + i) * f.stride + c]); };
      for (int64_t i = 0; i + 1 < count; ++i) before[static_cast<size_t>(i + 1)] = advanced(before[static_cast<size_t>(i)], key(i), value(i), rate);
      for (int64_t i = count - 1; i >= 0; --i) {
        const Sums<P>& s = before[static_cast<size_t>(i)];
        const P k = key(i), v = value(i), dy = static_cast<P>(b.d_out[(first + i) * f.stride + c]);
        const Reading<P> r = read(s, k, v, bonus);
        const P own = r.share * dy * (v - r.y), written = std::exp(k + q), kept = std::exp(s.p + q - rate);
        b.d_value[(first + i) * f.stride + c] = static_cast<T>(written * with + r.share * dy);
        b.d_key[(first + i) * f.stride + c] = static_cast<T>(written * (with * v - without) + own);
        d_bonus += own;
        d_rate -= kept * (with * s.a - without * s.b);
        const P top = std::max(q - rate, -r.top), old = std::exp(q - rate - top), now = std::exp(-r.top - top) * dy / r.sum;
        with = old * with + now;
        without = old * without + now * r.y;
        q = top;
      }
    }
    b.d_log_rate_C[c] = rate * d_rate;
    b.d_bonus_C[c] = d_bonus;
  }
}

template void wkv_forward(const WkvForward<float>&);
template void wkv_forward(const WkvForward<bf16>&);
template void wkv_forward(const WkvForward<double>&);
template void wkv_backward(const WkvBackward<float>&);
template void wkv_backward(const WkvBackward<bf16>&);
template void wkv_backward(const WkvBackward<double>&);

}  // namespace gamut::kernels::ref
