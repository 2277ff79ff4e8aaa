// Elementary functions of vectors of floats. The bounds are tested through the kernels that show them
// (activation_test, router_test); the constants are our own minimax fits.
#pragma once

#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// y · 2^n for whole n = shifted − 1.5·2²³.
template <class X> GAMUT_INLINE X times_power(const X& y, [[maybe_unused]] const X& n, [[maybe_unused]] const X& shifted) {
#if defined(__AVX512F__)
  return each([](F a, F b) GAMUT_INLINED { return (F)_mm512_maskz_scalef_ps(0xffff, a, b); }, y, n);
#else
  return each(
      [](F a, F b) GAMUT_INLINED {
        const I e = (I)bits(b) - 0x4b400000, half = e >> 1;  // in two steps: 2^128 and 2^−150 are no floats
        return a * (F)((half + 127) << 23) * (F)((e - half + 127) << 23);
      },
      y, shifted);
#endif
}

// e^x = 2^n · e^r, n = round(x·log₂e), |r| ≤ ln2/2, e^r = 1 + r + r²·q(r). ln2 is split so that n·(its upper part) is exact.
// Relative error at most 2.4e-7 wherever the result is a normal number; 0 below −104, ∞ above 88.73, NaN for NaN.
template <class X> GAMUT_INLINE X exp(X x) {
  constexpr float kMagic = 12582912.0f;  // 1.5·2²³: adding it rounds to an integer, which then sits in the low bits
  x = min(set1(89.0f), max(set1(-104.0f), x));
  const X shifted = madd(x, set1(1.44269504f), set1(kMagic));
  const X n = shifted - kMagic;
  const X r = madd(n, set1(-1.42860677e-6f), madd(n, set1(-0.693145752f), x));
  X q = madd(r, set1(0.001381454f), set1(0.0083687451f));
  q = madd(q, r, set1(0.0416683908f));
  q = madd(q, r, set1(0.166665204f));
  q = madd(q, r, set1(0.4999999343f));
  const X y = madd(q, r * r, r) + 1.0f;
  return times_power(y, n, shifted);
}

// 2^x for x ≤ 127, exactly 1 at 0; results below 2^−126 may be 0, and −∞ gives 0; NaN gives NaN. Shorter than exp: nothing is lost in forming f. Relative error
// at most 2.5e-7. `kCoarse`, for what is rounded to bf16: 3e-6, where that is less work.
template <bool kCoarse = false, class X> GAMUT_INLINE X exp2(X x) {
#if defined(__AVX512F__)  // 2^⌊x⌋ · p(f), 0 ≤ f < 1; scalef rounds its exponent down by itself
  const X f = each([](F v) GAMUT_INLINED { return (F)_mm512_maskz_reduce_ps(0xffff, v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }, x);
  X q;
  if constexpr (kCoarse) {
    q = madd(f, set1(0.0134266857f), set1(0.0522424728f));
    q = madd(q, f, set1(0.241280213f));
    q = madd(q, f, set1(0.6930448413f));
  } else {
    q = madd(f, set1(0.0018671302f), set1(0.0090170298f));
    q = madd(q, f, set1(0.0557999127f));
    q = madd(q, f, set1(0.2401644439f));
    q = madd(q, f, set1(0.6931512952f));
  }
  return times_power(madd(q, f, set1(1.0f)), x, x);
#else  // 2^n · p(f), n = round(x), |f| ≤ ½
  constexpr float kMagic = 12582912.0f;
  x = max(set1(-150.0f), x);
  const X shifted = x + kMagic, n = shifted - kMagic, f = x - n;
  X q = madd(f, set1(0.0013264591f), set1(0.009671619f));
  q = madd(q, f, set1(0.0555073503f));
  q = madd(q, f, set1(0.2402224046f));
  q = madd(q, f, set1(0.6931469764f));
  const X y = madd(q, f, set1(1.0f));
  return each([](F v, F power, F at) GAMUT_INLINED { return select(at < -126.0f, F{}, from_bits(bits(v) + (bits(power) << 23))); }, y, shifted, x);
#endif
}

// ln x for normal x > 0: x = 2^e · (1 + f), √½ ≤ 1 + f < √2, ln(1 + f) = f − f²/2 + f³·q(f). Relative error at most 2e-7.
GAMUT_INLINE F log(F x) {
  const U shifted = bits(x) + (0x3f800000u - 0x3f3504f3u);  // carries into the exponent from √½ on
  const F e = __builtin_convertvector((I)(shifted >> 23) - 127, F);
  const F f = from_bits((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  F q = madd(f, set1(-0.076363222f), set1(0.127636603f));
  q = madd(q, f, set1(-0.1316050065f));
  q = madd(q, f, set1(0.1420150363f));
  q = madd(q, f, set1(-0.1662330107f));
  q = madd(q, f, set1(0.2000123552f));
  q = madd(q, f, set1(-0.2500082269f));
  q = madd(q, f, set1(0.3333333163f));
  const F ff = f * f;
  return madd(e, set1(0.693147181f), madd(ff * f, q, nmadd(ff, set1(0.5f), f)));
}

// e^x for x ≤ 0 in half the operations where exp2 is short: rounding x·log₂e costs |x|·6e-8 of the result, which is at most 2.5e-7 of e⁰.
template <class X> GAMUT_INLINE X exp_not_positive(X x) {
#if defined(__AVX512F__)
  return exp2(X(x * 1.44269504f));
#else
  return exp(x);
#endif
}

// 1 / (1 + e^−x). Relative error at most 4e-7 for x ≥ −87; below, absolute error at most 1.2e-38. `kCoarse`, for what is rounded to bf16: 3e-6 + |x|·6e-8.
template <bool kCoarse = false, class X> GAMUT_INLINE X sigmoid(X x) {
#if defined(__AVX512F__)
  if constexpr (kCoarse) return 1.0f / (1.0f + exp2<true>(X(x * -1.44269504f)));
#endif
  return 1.0f / (1.0f + exp(-x));
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^−|x|; for small e the quotient undoes the rounding of 1 + e.
GAMUT_INLINE F softplus(F x) {
  const F e = exp(-magnitude(x)), u = 1.0f + e, rest = u - 1.0f;
  return max(x, F{}) + select(rest == 0.0f, e, log(u) * e / select(rest == 0.0f, set1(1.0f), rest));
}

// Relative error at most 5e-7.
template <class X> GAMUT_INLINE X tanh(X x) {
  const X a = magnitude(x), z = a * a;
  X q = madd(z, set1(-0.0057043787f), set1(0.0206385646f));
  q = madd(q, z, set1(-0.0537395621f));
  q = madd(q, z, set1(0.1333144046f));
  q = madd(q, z, set1(-0.3333328188f));
  const X small = madd(q * z, a, a);
  const X large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return with_sign_of(select(a < 0.625f, small, large), x);
}

// Φ(x), the standard normal distribution, and its density φ(x): Φ(−a) = e^(−a²/2) · t·q(t), t = 1/(1 + 0.2316419a), for a ≥ 0.
// Φ: absolute error at most 3e-7; for x < 0 also relative error at most 4e-7·(1 + x²/2).
template <class X> struct Normal { X below, density; };
template <class X> GAMUT_INLINE Normal<X> normal(X x) {
  const X a = magnitude(x);
  const X e = exp(-0.5f * (a * a));
  const X t = 1.0f / madd(a, set1(0.2316419f), set1(1.0f));
  X q = madd(t, set1(-0.0700716348f), set1(0.2461749864f));
  q = madd(q, t, set1(-0.1989647213f));
  q = madd(q, t, set1(0.2226684911f));
  q = madd(q, t, set1(0.0149878659f));
  q = madd(q, t, set1(0.1021891924f));
  q = madd(q, t, set1(0.0904992379f));
  q = madd(q, t, set1(0.0925166563f));
  const X tail = e * (t * q);
  return {select(x < 0.0f, tail, 1.0f - tail), e * 0.398942280f};
}

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
