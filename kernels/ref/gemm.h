// Reference matrix products: plain loops, one output at a time. Oracle, fallback and explanation; never optimised.
#pragma once

#include <span>

#include "kernels/gemm.h"

namespace gamut::kernels::ref {

void pack(ThreadPool& pool, DType dtype, const void* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
          std::byte* dst);
void gemm(ThreadPool& pool, std::span<const Gemm> problems);
void gemm_at_b(ThreadPool& pool, std::span<const GemmAtB> problems);

// Element [k,n] of a packed matrix, as T: float, bf16 or double by b.dtype.
template <class T> T element(const PackedMatrix& b, int64_t k, int64_t n);

}  // namespace gamut::kernels::ref
