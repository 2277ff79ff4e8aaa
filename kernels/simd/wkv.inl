// RWKV-4's weighted mean, W channels at a time. Notation: kernels/wkv.h; kernels/ref/wkv.cpp says it plainly.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr float kNothing = -1e38f;

struct WkvSums {
  F a, b, p;
};
GAMUT_INLINE WkvSums load_sums(const float* state, int64_t stride, auto part) {
  const F b = load(state + stride, part);
  return {load(state, part), b, select(b > F{}, load(state + 2 * stride, part), set1(kNothing))};
}
GAMUT_INLINE void store_sums(float* state, int64_t stride, const WkvSums& s, auto part) {
  store(state, s.a, part);
  store(state + stride, s.b, part);
  store(state + 2 * stride, s.p, part);
}

struct WkvReading {
  F y, share, top, sum;
};
GAMUT_INLINE WkvReading read_sums(const WkvSums& s, F k, F v, F bonus) {
  const F self = bonus + k, top = max(s.p, self), old = exp(s.p - top), now = exp(self - top), sum = madd(old, s.b, now);
  return {madd(old, s.a, now * v) / sum, now / sum, top, sum};
}
GAMUT_INLINE WkvSums advanced_sums(const WkvSums& s, F k, F v, F rate) {
  const F kept = s.p - rate, top = max(kept, k), old = exp(kept - top), now = exp(k - top);
  return {madd(old, s.a, now * v), madd(old, s.b, now), top};
}

}  // namespace

template <class T> void wkv_forward(const WkvForward<T>& f) {
  sweep(f.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    const F rate = exp(load(f.log_rate_C + c, part)), bonus = load(f.bonus_C + c, part);
    WkvSums s = load_sums(f.state + c, f.state_stride, part);
    for (int64_t t = 0; t < f.tokens; ++t) {
      if (f.starts && t % kWkvChunk == 0) store_sums(f.starts + t / kWkvChunk * 3 * f.state_stride + c, f.state_stride, s, part);
      const F k = load(f.key + t * f.stride + c, part), v = load(f.value + t * f.stride + c, part);
      store(f.out + t * f.stride + c, read_sums(s, k, v, bonus).y, part);
      s = advanced_sums(s, k, v, rate);
    }
    store_sums(f.state + c, f.state_stride, s, part);
  });
}

template <class T> void wkv_backward(const WkvBackward<T>& b) {
  const WkvForward<T>& f = b.forward;
  F* before = reinterpret_cast<F*>(f.scratch);  // [chunk, 3]
  sweep(f.channels, [&](int64_t c, auto part) GAMUT_INLINED {
    const F rate = exp(load(f.log_rate_C + c, part)), bonus = load(f.bonus_C + c, part);
    F with{}, without{}, q = set1(kNothing), d_rate{}, d_bonus{};
    for (int64_t chunk = (f.tokens - 1) / kWkvChunk; chunk >= 0; --chunk) {
      const int64_t first = chunk * kWkvChunk, count = f.tokens - first < kWkvChunk ? f.tokens - first : kWkvChunk;
      WkvSums s = load_sums(f.starts + chunk * 3 * f.state_stride + c, f.state_stride, part);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = (first + i) * f.stride + c;
        before[3 * i] = s.a, before[3 * i + 1] = s.b, before[3 * i + 2] = s.p;
        s = advanced_sums(s, load(f.key + at, part), load(f.value + at, part), rate);
      }
      for (int64_t i = count - 1; i >= 0; --i) {
        const int64_t at = (first + i) * f.stride + c;
        s = {before[3 * i], before[3 * i + 1], before[3 * i + 2]};
        const F k = load(f.key + at, part), v = load(f.value + at, part), dy = load(b.d_out + at, part);
        const WkvReading r = read_sums(s, k, v, bonus);
        const F into = r.share * dy, own = into * (v - r.y), written = exp(k + q), kept = exp(s.p + q - rate);
        store(b.d_value + at, madd(written, with, into), part);
        store(b.d_key + at, madd(written, with * v - without, own), part);
        d_bonus += own;
        d_rate = nmadd(kept, with * s.a - without * s.b, d_rate);
        const F older = q - rate, top = max(older, -r.top), old = exp(older - top), now = exp(-r.top - top) * dy / r.sum;
        with = madd(old, with, now);
        without = madd(old, without, now * r.y);
        q = top;
      }
    }
    store(b.d_log_rate_C + c, rate * d_rate, part);
    store(b.d_bonus_C + c, d_bonus, part);
  });
}

template void wkv_forward(const WkvForward<float>&);
template void wkv_forward(const WkvForward<bf16>&);
template void wkv_backward(const WkvBackward<float>&);
template void wkv_backward(const WkvBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
