// Streams of elements.
#include "kernels/simd/kernels.h"
#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

typedef float HalfF __attribute__((vector_size(W * 2)));

struct Doubles {
  D low, high;
};
GAMUT_INLINE Doubles widened(F x) {
  HalfF half[2];
  __builtin_memcpy(half, &x, sizeof x);
  return {__builtin_convertvector(half[0], D), __builtin_convertvector(half[1], D)};
}

}  // namespace

template <class T> void add(int64_t n, const T* a, const T* b, T* out) {
  sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(out + i, load(a + i, part) + load(b + i, part), part); });
}

template <class T> void from_parameter(int64_t n, const float* x, T* out) {
  sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(out + i, load(x + i, part), part); });
}

template <class T> void to_parameter(int64_t n, const T* x, float* out) {
  sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(out + i, load(x + i, part), part); });
}

template <class T> void accumulate(int64_t n, const T* x, float* sum) {
  sweep(n, [&](int64_t i, auto part) GAMUT_INLINED { store(sum + i, load(sum + i, part) + load(x + i, part), part); });
}

template <class T> void sum_rows(int64_t count, const T* const* rows, int64_t d, T* out) {
  sweep(d, [&](int64_t i, auto part) GAMUT_INLINED {
    F sum{};
    for (int64_t j = 0; j < count; ++j) sum += load(rows[j] + i, part);
    store(out + i, sum, part);
  });
}

template <class P> double sum_squares(int64_t n, const P* x) {
  D sums[kBundle][2] = {};
  sweep_bundles(n, [&](int64_t i, auto part) GAMUT_INLINED {
    const auto v = load(x + i, part);
#pragma GCC unroll 4
    for (int k = 0; k < (is_bundle<decltype(load(x, part))> ? kBundle : 1); ++k) {
      const Doubles wide = widened(vector_of(v, k));
      sums[k][0] += wide.low * wide.low;
      sums[k][1] += wide.high * wide.high;
    }
  });
  const D lanes =
      ((sums[0][0] + sums[0][1]) + (sums[1][0] + sums[1][1])) + ((sums[2][0] + sums[2][1]) + (sums[3][0] + sums[3][1]));
  double sum = 0;
  for (int i = 0; i < W / 2; ++i) sum += lanes[i];
  return sum;
}

#define GAMUT_INSTANTIATE(T)                               \
  template void add(int64_t, const T*, const T*, T*);      \
  template void from_parameter(int64_t, const float*, T*); \
  template void to_parameter(int64_t, const T*, float*);   \
  template void accumulate(int64_t, const T*, float*);     \
  template void sum_rows(int64_t, const T* const*, int64_t, T*);
GAMUT_INSTANTIATE(float)
GAMUT_INSTANTIATE(bf16)
#undef GAMUT_INSTANTIATE
template double sum_squares(int64_t, const float*);

}  // namespace gamut::kernels::GAMUT_TIER
