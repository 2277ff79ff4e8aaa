#include "kernels/ref/gemm.h"

#include <cstring>

namespace gamut::kernels::ref {
namespace {

// Position of B[k,n] in its packed form, in elements.
int64_t packed_index(DType dtype, int64_t rows, int64_t k, int64_t n) {
  const int64_t panel = n / 16, column = n % 16;
  if (dtype != DType::bf16) return (panel * rows + k) * 16 + column;
  const int64_t padded = (rows + 31) / 32 * 32;
  return panel * padded * 16 + (k / 2) * 32 + column * 2 + k % 2;
}

template <class T, class Source>
void pack_as(ThreadPool& pool, const Source* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, std::byte* dst) {
  constexpr DType dtype = DTypeOf<T>::value;
  std::memset(dst, 0, static_cast<size_t>(packed_bytes(dtype, k, n)));
  T* out = reinterpret_cast<T*>(dst);
  pool.parallel_for((n + 15) / 16, [&](int64_t panel, int) {
    for (int64_t j = panel * 16; j < n && j < panel * 16 + 16; ++j)
      for (int64_t i = 0; i < k; ++i) out[packed_index(dtype, k, i, j)] = static_cast<T>(src[i * row_stride + j * col_stride]);
  });
}

template <class T> void gemm_as(ThreadPool& pool, const Gemm& g) {
  using Sum = accumulator<T>;
  const auto* bias = static_cast<const Sum*>(g.bias_N);
  pool.parallel_for(g.m, [&](int64_t m, int) {
    for (int64_t n = 0; n < g.n; ++n) {
      Sum sum = 0;
      for (int t = 0; t < g.term_count; ++t) {
        const T* row = static_cast<const T*>(g.terms[t].a) + m * g.terms[t].lda;
        for (int64_t k = 0; k < g.terms[t].b.k; ++k)
          sum += static_cast<Sum>(row[k]) * static_cast<Sum>(element<T>(g.terms[t].b, k, n));
      }
      if (bias) sum += bias[n];
      const int64_t at = m * g.ldc + n;
      if (g.c_dtype == DType::bf16) {
        bf16* c = static_cast<bf16*>(g.c);
        c[at] = static_cast<bf16>(static_cast<float>(g.accumulate ? sum + static_cast<Sum>(c[at]) : sum));
      } else {
        Sum* c = static_cast<Sum*>(g.c);
        c[at] = g.accumulate ? sum + c[at] : sum;
      }
    }
    if (g.epilogue) (*g.epilogue)({g.epilogue_row + m, 1, 0, g.n});
  });
}

template <class T> void gemm_at_b_as(ThreadPool& pool, const GemmAtB& g) {
  using Sum = accumulator<T>;
  const T* a = static_cast<const T*>(g.a);
  const T* b = static_cast<const T*>(g.b);
  Sum* c = static_cast<Sum*>(g.c);
  pool.parallel_for(g.p, [&](int64_t p, int) {
    for (int64_t q = 0; q < g.q; ++q) {
      Sum sum = 0;
      for (int64_t m = 0; m < g.m; ++m) sum += static_cast<Sum>(a[m * g.lda + p]) * static_cast<Sum>(b[m * g.ldb + q]);
      c[p * g.ldc + q] = g.accumulate ? c[p * g.ldc + q] + sum : sum;
    }
  });
}

}  // namespace

template <class T> T element(const PackedMatrix& b, int64_t k, int64_t n) {
  return reinterpret_cast<const T*>(b.data)[packed_index(b.dtype, b.k, k, n)];
}
template float element<float>(const PackedMatrix&, int64_t, int64_t);
template bf16 element<bf16>(const PackedMatrix&, int64_t, int64_t);
template double element<double>(const PackedMatrix&, int64_t, int64_t);

void pack(ThreadPool& pool, DType dtype, const void* src, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
          std::byte* dst) {
  switch (dtype) {
    case DType::bf16: return pack_as<bf16>(pool, static_cast<const float*>(src), k, n, row_stride, col_stride, dst);
    case DType::f64: return pack_as<double>(pool, static_cast<const double*>(src), k, n, row_stride, col_stride, dst);
    default: return pack_as<float>(pool, static_cast<const float*>(src), k, n, row_stride, col_stride, dst);
  }
}

void gemm(ThreadPool& pool, std::span<const Gemm> problems) {
  for (const Gemm& g : problems) {
    switch (g.terms[0].b.dtype) {
      case DType::bf16: gemm_as<bf16>(pool, g); break;
      case DType::f64: gemm_as<double>(pool, g); break;
      default: gemm_as<float>(pool, g);
    }
  }
}

void gemm_at_b(ThreadPool& pool, std::span<const GemmAtB> problems) {
  for (const GemmAtB& g : problems) {
    switch (g.dtype) {
      case DType::bf16: gemm_at_b_as<bf16>(pool, g); break;
      case DType::f64: gemm_at_b_as<double>(pool, g); break;
      default: gemm_at_b_as<float>(pool, g);
    }
  }
}

}  // namespace gamut::kernels::ref
