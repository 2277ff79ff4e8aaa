// Vectors of floats for the instruction tier this file is compiled for, on the compilers' vector extensions.
//
// Included only by the translation units of a tier (kernels/<tier>/vector*.cpp), which define GAMUT_TIER. Everything lives in an
// unnamed namespace within the tier's namespace, and nothing here calls inline functions of the standard library: the linker
// could otherwise keep a copy made of instructions that an older processor lacks.
#pragma once

#include <cstdint>

#include "base/dtype.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define GAMUT_INLINE [[gnu::always_inline]] inline
#define GAMUT_INLINED __attribute__((always_inline))  // after the parameters of a lambda

namespace gamut::kernels::GAMUT_TIER {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;  // floats in a vector
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float F __attribute__((vector_size(W * 4)));
typedef int32_t I __attribute__((vector_size(W * 4)));
typedef uint32_t U __attribute__((vector_size(W * 4)));
typedef uint16_t Halves __attribute__((vector_size(W * 2)));
typedef double D __attribute__((vector_size(W * 4)));  // W/2 doubles

// The same types at any address.
typedef F UnalignedF __attribute__((aligned(4), may_alias));
typedef I UnalignedI __attribute__((aligned(4), may_alias));
typedef Halves UnalignedHalves __attribute__((aligned(2), may_alias));

GAMUT_INLINE F set1(float x) {  // not F{} + x, which is an addition: −0 + 0 is 0
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#elif defined(__AVX2__)
  return _mm256_set1_ps(x);
#else
  return F{x, x, x, x};
#endif
}
GAMUT_INLINE I set1i(int32_t x) { return I{} + x; }
GAMUT_INLINE U bits(F x) { return (U)x; }
GAMUT_INLINE F from_bits(U x) { return (F)x; }
GAMUT_INLINE F select(I mask, F yes, F no) { return mask ? yes : no; }

// One rounding where the tier has the instruction, two where it has not.
GAMUT_INLINE F madd(F a, F b, F c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
GAMUT_INLINE F nmadd(F a, F b, F c) { return madd(-a, b, c); }  // c − a·b

// If either argument is NaN: the second. (The masks, all ones, cost nothing; GCC 12 warns about its own unmasked intrinsics.)
GAMUT_INLINE F max(F a, F b) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
  return _mm_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
GAMUT_INLINE F min(F a, F b) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xffff, a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}
GAMUT_INLINE F sqrt(F a) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, a);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(a);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(a);
#else
  for (int i = 0; i < W; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}
GAMUT_INLINE F magnitude(F a) { return from_bits(bits(a) & 0x7fffffffu); }
GAMUT_INLINE F with_sign_of(F value, F sign) { return from_bits((bits(value) & 0x7fffffffu) | (bits(sign) & 0x80000000u)); }

// How many lanes a load or store touches: all of them, or the first few of a row's tail.
struct All {};
struct Some {
  int64_t count;
};

GAMUT_INLINE I iota() {
#if defined(__AVX512F__)
  return I{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif defined(__AVX2__)
  return I{0, 1, 2, 3, 4, 5, 6, 7};
#else
  return I{0, 1, 2, 3};
#endif
}
GAMUT_INLINE F keep(F x, All, F = F{}) { return x; }
GAMUT_INLINE F keep(F x, Some some, F otherwise = F{}) { return select(iota() < static_cast<int32_t>(some.count), x, otherwise); }

GAMUT_INLINE F widened(Halves h) {
#if defined(__AVX512F__)
  return from_bits((U)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)h) << 16);
#elif defined(__AVX2__)
  return from_bits((U)_mm256_cvtepu16_epi32((__m128i)h) << 16);
#else
  return from_bits(__builtin_convertvector(h, U) << 16);
#endif
}

GAMUT_INLINE F load(const float* p, All = {}) { return *reinterpret_cast<const UnalignedF*>(p); }
GAMUT_INLINE F load(const bf16* p, All = {}) { return widened(*reinterpret_cast<const UnalignedHalves*>(p)); }

GAMUT_INLINE F load(const float* p, Some some) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << some.count) - 1), p);
#elif defined(__AVX2__)
  return _mm256_maskload_ps(p, (__m256i)(iota() < static_cast<int32_t>(some.count)));
#else
  F x{};
  for (int64_t i = 0; i < some.count; ++i) x[i] = p[i];
  return x;
#endif
}
GAMUT_INLINE F load(const bf16* p, Some some) {
#if defined(__AVX512BW__)
  return widened((Halves)_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << some.count) - 1), p));
#else
  Halves x{};
  for (int64_t i = 0; i < some.count; ++i) x[i] = p[i].bits;
  return widened(x);
#endif
}

// Bits whose upper half is x rounded to bfloat16, to nearest even; NaN stays NaN. The lower half is left over.
GAMUT_INLINE U bf16_above(F x) {
  const U u = bits(x), up = u + 0x7fffu + ((u >> 16) & 1u);
  return x == x ? up : u | 0x400000u;
}
GAMUT_INLINE Halves narrowed(F x) {
#if defined(__AVX512BF16__)  // the same but for denormal numbers, which become 0; saves up to a third of the time of a stream
  return (Halves)_mm512_cvtneps_pbh(x);
#else
  const U u = bf16_above(x);
#if defined(__AVX512BW__)
  const __m512i upper_halves = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33,  //
                                                31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  const __m512i packed = _mm512_maskz_permutexvar_epi16(0xffffffff, upper_halves, (__m512i)u);
  return (Halves)__builtin_shufflevector(packed, packed, 0, 1, 2, 3);
#elif defined(__AVX2__)
  const __m256i h = (__m256i)(u >> 16);
  return (Halves)_mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
#else
  return __builtin_convertvector(u >> 16, Halves);
#endif
#endif
}
// What storing x as a T leaves of it.
template <class T> GAMUT_INLINE F rounded(F x) {
  if constexpr (sizeof(T) == 2)
    return widened(narrowed(x));
  else
    return x;
}

GAMUT_INLINE void store(float* p, F x, All = {}) { *reinterpret_cast<UnalignedF*>(p) = x; }
GAMUT_INLINE void store(bf16* p, F x, All = {}) { *reinterpret_cast<UnalignedHalves*>(p) = narrowed(x); }

GAMUT_INLINE void store(float* p, F x, Some some) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << some.count) - 1), x);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, (__m256i)(iota() < static_cast<int32_t>(some.count)), x);
#else
  for (int64_t i = 0; i < some.count; ++i) p[i] = x[i];
#endif
}
GAMUT_INLINE void store(bf16* p, F x, Some some) {
  const Halves h = narrowed(x);
#if defined(__AVX512BW__)
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << some.count) - 1), (__m256i)h);
#else
  for (int64_t i = 0; i < some.count; ++i) p[i].bits = h[i];
#endif
}

// Whole vectors written around the caches, so that lines nobody reads soon are not read from memory first; can_put: rows of d elements
// from p on begin where such stores may. finish_puts() before another thread reads.
template <class T> GAMUT_INLINE bool can_put(const T* p, int64_t d) {
  constexpr uintptr_t kVector = W * sizeof(T);
  return kVector >= 16 && reinterpret_cast<uintptr_t>(p) % kVector == 0 && d % W == 0;
}
GAMUT_INLINE void put_past(float* p, F x) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, x);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, x);
#elif defined(__SSE2__)
  _mm_stream_ps(p, x);
#else
  store(p, x);
#endif
}
GAMUT_INLINE void put_past(bf16* p, F x) {
  [[maybe_unused]] void* const to = p;
#if defined(__AVX512F__)
  _mm256_stream_si256(static_cast<__m256i*>(to), (__m256i)narrowed(x));
#elif defined(__AVX2__)
  _mm_stream_si128(static_cast<__m128i*>(to), (__m128i)narrowed(x));
#else
  store(p, x);
#endif
}
GAMUT_INLINE void finish_puts() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
// store(), or past the caches where that was asked for and the vector is whole.
template <bool kPast, class T> GAMUT_INLINE void put(T* p, F x, All part) {
  if constexpr (kPast)
    put_past(p, x);
  else
    store(p, x, part);
}
template <bool kPast, class T> GAMUT_INLINE void put(T* p, F x, Some part) { store(p, x, part); }
GAMUT_INLINE float load1(const float* p) { return *p; }
GAMUT_INLINE float load1(const bf16* p) {
  const uint32_t u = static_cast<uint32_t>(p->bits) << 16;
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}

// Horizontal sums and maxima, halving: lane i meets lane i + half.
#if defined(__AVX512F__)
typedef float Quarter __attribute__((vector_size(16)));
GAMUT_INLINE Quarter fold(F x, Quarter (*join)(Quarter, Quarter)) {
  const Quarter a = __builtin_shufflevector(x, x, 0, 1, 2, 3), b = __builtin_shufflevector(x, x, 4, 5, 6, 7);
  const Quarter c = __builtin_shufflevector(x, x, 8, 9, 10, 11), d = __builtin_shufflevector(x, x, 12, 13, 14, 15);
  return join(join(a, c), join(b, d));
}
#elif defined(__AVX2__)
typedef float Quarter __attribute__((vector_size(16)));
GAMUT_INLINE Quarter fold(F x, Quarter (*join)(Quarter, Quarter)) {
  return join(__builtin_shufflevector(x, x, 0, 1, 2, 3), __builtin_shufflevector(x, x, 4, 5, 6, 7));
}
#else
typedef F Quarter;
GAMUT_INLINE Quarter fold(F x, Quarter (*)(Quarter, Quarter)) { return x; }
#endif
GAMUT_INLINE float sum(F x) {
  Quarter q = fold(x, [](Quarter a, Quarter b) GAMUT_INLINED { return a + b; });
  q += __builtin_shufflevector(q, q, 2, 3, 0, 1);
  q += __builtin_shufflevector(q, q, 1, 0, 3, 2);
  return q[0];
}
GAMUT_INLINE float highest(F x) {
  const auto higher = [](Quarter a, Quarter b) GAMUT_INLINED { return (Quarter)(a > b ? a : b); };
  Quarter q = fold(x, higher);
  q = higher(q, __builtin_shufflevector(q, q, 2, 3, 0, 1));
  q = higher(q, __builtin_shufflevector(q, q, 1, 0, 3, 2));
  return q[0];
}

// Two vectors as pairs: a₀ b₀ a₁ b₁ … (low half, high half), and back: elements 0 2 4 … and 1 3 5 … of a followed by b.
#if defined(__AVX512F__)
GAMUT_INLINE F interleave_low(F a, F b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
GAMUT_INLINE F interleave_high(F a, F b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
GAMUT_INLINE F even_lanes(F a, F b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
GAMUT_INLINE F odd_lanes(F a, F b) {
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
#elif defined(__AVX2__)
GAMUT_INLINE F interleave_low(F a, F b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
GAMUT_INLINE F interleave_high(F a, F b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
GAMUT_INLINE F even_lanes(F a, F b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
GAMUT_INLINE F odd_lanes(F a, F b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
#else
GAMUT_INLINE F interleave_low(F a, F b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
GAMUT_INLINE F interleave_high(F a, F b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
GAMUT_INLINE F even_lanes(F a, F b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6); }
GAMUT_INLINE F odd_lanes(F a, F b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7); }
#endif

// Transposes W vectors of W lanes: interleaving row i with row i + W/2 moves one bit of the row number into the lane number.
GAMUT_INLINE void transpose(F (&x)[W]) {
#pragma GCC unroll 4
  for (int done = 1; done < W; done *= 2) {
    F y[W];
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; ++i) {
      y[2 * i] = interleave_low(x[i], x[i + W / 2]);
      y[2 * i + 1] = interleave_high(x[i], x[i + W / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) x[i] = y[i];
  }
}

// A few vectors that go through a formula side by side. A chain of operations for one vector after that of another leaves the processor waiting, although it
// may reorder them: exponentials take 1.2 to 1.6 times as long.
constexpr int kBundle = 4;
struct Bundled {};
template <class V> struct Bundle {
  V at[kBundle];
};
template <class X> constexpr bool is_bundle = false;
template <class V> constexpr bool is_bundle<Bundle<V>> = true;

template <class V> GAMUT_INLINE V vector_of(const Bundle<V>& x, int k) { return x.at[k]; }
template <class V> GAMUT_INLINE V vector_of(const V& x, int) { return x; }
// f of the first vector of every bundle, of the second …; what is no bundle is the same for all.
template <class Fn, class... X> GAMUT_INLINE auto each(const Fn& f, const X&... x) {
  if constexpr ((is_bundle<X> || ...)) {
    Bundle<decltype(f(vector_of(x, 0)...))> y;
#pragma GCC unroll 4
    for (int k = 0; k < kBundle; ++k) y.at[k] = f(vector_of(x, k)...);
    return y;
  } else {
    return f(x...);
  }
}
#define GAMUT_EACH_CALL(name)                                                                \
  template <class... X> GAMUT_INLINE auto name(const X&... x) requires(is_bundle<X> || ...) { \
    return each([](auto... v) GAMUT_INLINED { return name(v...); }, x...);                    \
  }
#define GAMUT_EACH_OPERATOR(op)                                                                                              \
  template <class A, class B> GAMUT_INLINE auto operator op(const A& a, const B& b) requires(is_bundle<A> || is_bundle<B>) { \
    return each([](auto x, auto y) GAMUT_INLINED { return x op y; }, a, b);                                                  \
  }
GAMUT_EACH_CALL(madd)
GAMUT_EACH_CALL(nmadd)
GAMUT_EACH_CALL(max)
GAMUT_EACH_CALL(min)
GAMUT_EACH_CALL(select)
GAMUT_EACH_CALL(magnitude)
GAMUT_EACH_CALL(with_sign_of)
GAMUT_EACH_OPERATOR(+)
GAMUT_EACH_OPERATOR(-)
GAMUT_EACH_OPERATOR(*)
GAMUT_EACH_OPERATOR(/)
GAMUT_EACH_OPERATOR(<)
GAMUT_EACH_OPERATOR(>)
GAMUT_EACH_OPERATOR(==)
#undef GAMUT_EACH_OPERATOR
#undef GAMUT_EACH_CALL
template <class V> GAMUT_INLINE Bundle<V> operator-(const Bundle<V>& x) {
  return each([](V v) GAMUT_INLINED { return -v; }, x);
}

template <class T> GAMUT_INLINE Bundle<F> load(const T* p, Bundled) {
  Bundle<F> x;
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) x.at[k] = load(p + k * W);
  return x;
}
template <class T> GAMUT_INLINE void store(T* p, const Bundle<F>& x, Bundled = {}) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) store(p + k * W, x.at[k]);
}
template <bool kPast, class T> GAMUT_INLINE void put(T* p, const Bundle<F>& x, Bundled) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) put<kPast>(p + k * W, x.at[k], All{});
}
GAMUT_INLINE Bundle<F> keep(const Bundle<F>& x, Bundled, F = F{}) { return x; }
// x as what it is, or as every vector of a bundle.
template <class X> GAMUT_INLINE X spread(F x) {
  if constexpr (is_bundle<X>) return {x, x, x, x};
  else return x;
}
// The sum and the maximum of a bundle's vectors, in one order; of one vector: itself.
GAMUT_INLINE F summed(const F (&x)[kBundle]) { return (x[0] + x[1]) + (x[2] + x[3]); }
GAMUT_INLINE F greatest(const F (&x)[kBundle]) { return max(max(x[0], x[1]), max(x[2], x[3])); }
GAMUT_INLINE F summed(const Bundle<F>& x) { return summed(x.at); }
GAMUT_INLINE F greatest(const Bundle<F>& x) { return greatest(x.at); }
GAMUT_INLINE F summed(F x) { return x; }
GAMUT_INLINE F greatest(F x) { return x; }
// Running sums and maxima of bundles and of single vectors, which go to the first.
GAMUT_INLINE void add_to(F (&sums)[kBundle], F x) { sums[0] += x; }
GAMUT_INLINE void add_to(F (&sums)[kBundle], const Bundle<F>& x) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) sums[k] += x.at[k];
}
GAMUT_INLINE void add_products(F (&sums)[kBundle], F a, F b) { sums[0] = madd(a, b, sums[0]); }
GAMUT_INLINE void add_products(F (&sums)[kBundle], const Bundle<F>& a, const Bundle<F>& b) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) sums[k] = madd(a.at[k], b.at[k], sums[k]);
}
GAMUT_INLINE void raise(F (&tops)[kBundle], F x) { tops[0] = max(x, tops[0]); }
GAMUT_INLINE void raise(F (&tops)[kBundle], const Bundle<F>& x) {
#pragma GCC unroll 4
  for (int k = 0; k < kBundle; ++k) tops[k] = max(x.at[k], tops[k]);
}

// Walks over a row: body(i, All or Some) for every vector of it.
template <class Body> GAMUT_INLINE void sweep(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + W <= n; i += W) body(i, All{});
  if (i < n) body(i, Some{n - i});
}
// The same, body(i, Bundled) first while there are bundles.
template <class Body> GAMUT_INLINE void sweep_bundles(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kBundle * W <= n; i += kBundle * W) body(i, Bundled{});
  for (; i + W <= n; i += W) body(i, All{});
  if (i < n) body(i, Some{n - i});
}

}  // namespace
}  // namespace gamut::kernels::GAMUT_TIER
