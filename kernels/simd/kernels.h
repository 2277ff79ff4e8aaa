// The row kernels that every vector tier provides, for float and bf16, and their lists of candidates.
#pragma once

#include "kernels/activation.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/cell.h"
#include "kernels/conv.h"
#include "kernels/cross_entropy.h"
#include "kernels/dplr.h"
#include "kernels/elementwise.h"
#include "kernels/map.h"
#include "kernels/norm.h"
#include "kernels/linear_attention.h"
#include "kernels/rotary.h"
#include "kernels/router.h"
#include "kernels/scan.h"
#include "kernels/wkv.h"

namespace gamut::kernels {

// Defined in kernels/simd/*.inl, compiled once per tier by kernels/<tier>/vector.cpp.
#define GAMUT_DECLARE_VECTOR_KERNELS(tier)                                                  \
  namespace tier {                                                                          \
  template <class T> void norm_forward(const NormForward<T>&);                              \
  template <class T> void norm_backward(const NormBackward<T>&);                            \
  template <class T> void gated_forward(const GatedForward<T>&);                            \
  template <class T> void gated_backward(const GatedBackward<T>&);                          \
  template <class T> void rotary(const Rotary<T>&);                                         \
  template <class T> void attention_forward(const AttentionForward<T>&);                    \
  template <class T> void attention_backward(const AttentionBackward<T>&);                  \
  template <class T> void cross_entropy(const CrossEntropy<T>&);                            \
  template <class P> void route(const Route<P>&);                                           \
  template <class P> void route_backward(const RouteBackward<P>&);                          \
  template <class T> void add(int64_t n, const T* a, const T* b, T* out);                   \
  template <class T> void from_parameter(int64_t n, const float* x, T* out);                \
  template <class T> void to_parameter(int64_t n, const T* x, float* out);                  \
  template <class T> void accumulate(int64_t n, const T* x, float* sum);                    \
  template <class T> void sum_rows(int64_t count, const T* const* rows, int64_t d, T* out); \
  template <class P> double sum_squares(int64_t n, const P* x);                             \
  template <class P> void adamw(const AdamW<P>&);                                           \
  template <class T> void map_forward(const MapForward<T>&);                                \
  template <class T> void map_backward(const MapBackward<T>&);                              \
  template <class T> void conv_forward(const ConvForward<T>&);                              \
  template <class T> void conv_backward(const ConvBackward<T>&);                            \
  template <class T> void linear_attention_forward(const LinearAttentionForward<T>&);       \
  template <class T> void linear_attention_backward(const LinearAttentionBackward<T>&);     \
  template <class T> void scan_forward(const ScanForward<T>&);                              \
  template <class T> void scan_backward(const ScanBackward<T>&);                            \
  template <class T> void wkv_forward(const WkvForward<T>&);                                \
  template <class T> void wkv_backward(const WkvBackward<T>&);                              \
  template <class T> void dplr_forward(const DplrForward<T>&);                              \
  template <class T> void dplr_backward(const DplrBackward<T>&);                            \
  template <class T> void cell_forward(const CellForward<T>&);                              \
  template <class T> void cell_backward(const CellBackward<T>&);                            \
  }
GAMUT_DECLARE_VECTOR_KERNELS(portable)
GAMUT_DECLARE_VECTOR_KERNELS(avx2)
GAMUT_DECLARE_VECTOR_KERNELS(avx512)
GAMUT_DECLARE_VECTOR_KERNELS(avx512bf16)
#undef GAMUT_DECLARE_VECTOR_KERNELS

// Defines name<T>(), the candidates of one row kernel: the vector tiers, then ref; double has ref alone.
// clang-format off
#define GAMUT_ROW_KERNEL(name, Fn)                                                                                   \
  template <class T> const Candidates<Fn<T>>& name() {                                                               \
    if constexpr (sizeof(T) == 8) {                                                                                  \
      static const Candidates<Fn<T>> list{{"ref", Tier::ref, ref::name<T>}};                                         \
      return list;                                                                                                   \
    } else {                                                                                                         \
      static const Candidates<Fn<T>> list{GAMUT_AVX512_BF16({"avx512_bf16", Tier::avx512_bf16, avx512bf16::name<T>}) \
                                          GAMUT_AVX512({"avx512", Tier::avx512, avx512::name<T>})                    \
                                          GAMUT_AVX2({"avx2", Tier::avx2, avx2::name<T>})                            \
                                          {"portable", Tier::portable, portable::name<T>},                           \
                                          {"ref", Tier::ref, ref::name<T>}};                                         \
      return list;                                                                                                   \
    }                                                                                                                \
  }
// clang-format on

}  // namespace gamut::kernels
