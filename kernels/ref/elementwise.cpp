#include "kernels/ref/elementwise.h"

namespace gamut::kernels::ref {

template <class T> void add(int64_t n, const T* a, const T* b, T* out) {
  using P = accumulator<T>;
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(static_cast<P>(a[i]) + static_cast<P>(b[i]));
}

template <class T> void from_parameter(int64_t n, const accumulator<T>* x, T* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(x[i]);
}

template <class T> void to_parameter(int64_t n, const T* x, accumulator<T>* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<accumulator<T>>(x[i]);
}

template <class T> void accumulate(int64_t n, const T* x, accumulator<T>* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += static_cast<accumulator<T>>(x[i]);
}

template <class T> void sum_rows(int64_t count, const T* const* rows, int64_t d, T* out) {
  using P = accumulator<T>;
  for (int64_t i = 0; i < d; ++i) {
    P sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += static_cast<P>(rows[j][i]);
    out[i] = static_cast<T>(sum);
  }
}

template <class P> double sum_squares(int64_t n, const P* x) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

#define GAMUT_INSTANTIATE(T)                                           \
  template void add(int64_t, const T*, const T*, T*);                  \
  template void from_parameter<T>(int64_t, const accumulator<T>*, T*); \
  template void to_parameter<T>(int64_t, const T*, accumulator<T>*);   \
  template void accumulate<T>(int64_t, const T*, accumulator<T>*);     \
  template void sum_rows(int64_t, const T* const*, int64_t, T*);
GAMUT_INSTANTIATE(float)
GAMUT_INSTANTIATE(bf16)
GAMUT_INSTANTIATE(double)
#undef GAMUT_INSTANTIATE
template double sum_squares(int64_t, const float*);
template double sum_squares(int64_t, const double*);

}  // namespace gamut::kernels::ref
