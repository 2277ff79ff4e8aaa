// Streams of elements and rows: conversion, addition, gathering, combining.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

// out = a + b, in P, rounded once.
template <class T> using AddFn = void (*)(int64_t n, const T* a, const T* b, T* out);
template <class T> const Candidates<AddFn<T>>& add();

// out[i] = T(x[i]) and back; P = accumulator<T>. Rounding to bf16 is to nearest even on every tier, of all row kernels, except that
// avx512_bf16 makes denormal numbers (below 1.2e-38) zero.
template <class T> using FromParameterFn = void (*)(int64_t n, const accumulator<T>* x, T* out);
template <class T> const Candidates<FromParameterFn<T>>& from_parameter();
template <class T> using ToParameterFn = void (*)(int64_t n, const T* x, accumulator<T>* out);
template <class T> const Candidates<ToParameterFn<T>>& to_parameter();

// sum[i] += x[i] in P.
template <class T> using AccumulateFn = void (*)(int64_t n, const T* x, accumulator<T>* sum);
template <class T> const Candidates<AccumulateFn<T>>& accumulate();

// out[d] = Σ_j rows[j][d] for `count` row pointers, in order, in P, rounded once.
template <class T> using SumRowsFn = void (*)(int64_t count, const T* const* rows, int64_t d, T* out);
template <class T> const Candidates<SumRowsFn<T>>& sum_rows();

// Sum of squares in double, in a fixed order.
template <class P> using SumSquaresFn = double (*)(int64_t n, const P* x);
template <class P> const Candidates<SumSquaresFn<P>>& sum_squares();

}  // namespace gamut::kernels
