// Reference streams: one element at a time.
#pragma once

#include "kernels/elementwise.h"

namespace gamut::kernels::ref {

template <class T> void add(int64_t n, const T* a, const T* b, T* out);
template <class T> void from_parameter(int64_t n, const accumulator<T>* x, T* out);
template <class T> void to_parameter(int64_t n, const T* x, accumulator<T>* out);
template <class T> void accumulate(int64_t n, const T* x, accumulator<T>* sum);
template <class T> void sum_rows(int64_t count, const T* const* rows, int64_t d, T* out);
template <class P> double sum_squares(int64_t n, const P* x);

}  // namespace gamut::kernels::ref
