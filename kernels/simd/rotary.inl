// Rotary embedding: W pairs at a time.
#include "kernels/simd/kernels.h"
#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

struct Pairs {
  F first, second;
};

// 2·W neighbouring elements, or the first 2·count of them, as (even, odd).
template <class T> GAMUT_INLINE Pairs load_interleaved(const T* p, All) {
  const F a = load(p), b = load(p + W);
  return {even_lanes(a, b), odd_lanes(a, b)};
}
template <class T> GAMUT_INLINE Pairs load_interleaved(const T* p, Some some) {
  const int64_t n = 2 * some.count;
  const F a = n >= W ? load(p) : load(p, Some{n}), b = n > W ? load(p + W, Some{n - W}) : F{};
  return {even_lanes(a, b), odd_lanes(a, b)};
}
template <class T> GAMUT_INLINE void store_interleaved(T* p, Pairs x, All) {
  store(p, interleave_low(x.first, x.second));
  store(p + W, interleave_high(x.first, x.second));
}
template <class T> GAMUT_INLINE void store_interleaved(T* p, Pairs x, Some some) {
  const int64_t n = 2 * some.count;
  const F low = interleave_low(x.first, x.second);
  if (n < W) return store(p, low, Some{n});
  store(p, low);
  if (n > W) store(p + W, interleave_high(x.first, x.second), Some{n - W});
}

}  // namespace

template <class T> void rotary(const Rotary<T>& a) {
  const int64_t pairs = a.rotary / 2;
  for (int64_t n = 0; n < a.rows; ++n) {
    const float* cos_R = a.cos_MR + a.position_N[n] * pairs;
    const float* sin_R = a.sin_MR + a.position_N[n] * pairs;
    for (int64_t head = 0; head < a.heads; ++head) {
      const T* x_K = a.x_NHK + (n * a.heads + head) * a.head_dim;
      T* out_K = a.out_NHK + (n * a.heads + head) * a.head_dim;
      sweep(pairs, [&](int64_t r, auto part) GAMUT_INLINED {
        const bool interleaved = a.style == RotaryStyle::interleaved;
        const Pairs x =
            interleaved ? load_interleaved(x_K + 2 * r, part) : Pairs{load(x_K + r, part), load(x_K + pairs + r, part)};
        const F cos = load(cos_R + r, part), forward = load(sin_R + r, part), sin = a.inverse ? -forward : forward;
        const Pairs out{nmadd(x.second, sin, x.first * cos), madd(x.first, sin, x.second * cos)};
        if (interleaved) {
          store_interleaved(out_K + 2 * r, out, part);
        } else {
          store(out_K + r, out.first, part);
          store(out_K + pairs + r, out.second, part);
        }
      });
      if (out_K != x_K)
        sweep(a.head_dim - 2 * pairs,
              [&](int64_t i, auto part) GAMUT_INLINED { store(out_K + 2 * pairs + i, load(x_K + 2 * pairs + i, part), part); });
    }
  }
}

template void rotary(const Rotary<float>&);
template void rotary(const Rotary<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
