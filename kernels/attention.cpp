#include "kernels/attention.h"

#include <algorithm>

#include "kernels/attention_tiled.h"
#include "kernels/gemm_tiers.h"
#include "kernels/ref/attention.h"
#include "kernels/simd/attention_layout.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// Enough for every implementation and both directions. ref: a query's scores, or a query's gradient and those of all keys and
// values.
int64_t attention_scratch(DType dtype, int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim, bool biased) {
  const int64_t ref = head_dim + keys * (head_dim + value_dim + 1);
  const AttentionFloats vector = attention_floats(queries, keys, group, head_dim, value_dim, biased);
  const int64_t tiled = dtype == DType::bf16 ? attention_scratch_tiled(queries, keys, group, head_dim, value_dim, biased) : 0;
  return std::max({ref * static_cast<int64_t>(size_of(parameter_dtype(dtype))), vector.forward * 4, vector.backward * 4, tiled});
}

GAMUT_ROW_KERNEL(attention_forward, AttentionForwardFn)
GAMUT_ROW_KERNEL(attention_backward, AttentionBackwardFn)

namespace {

template <const TileKernel& kernel> void forward_tiled(const AttentionForward<bf16>& a) { attention_forward_tiled(a, kernel, avx512bf16::attention_rows); }
template <const TileKernel& kernel> void backward_tiled(const AttentionBackward<bf16>& b) { attention_backward_tiled(b, kernel, avx512bf16::attention_rows); }

}  // namespace

// With dots of bf16 in the processor, products of bf16 beat the vector kernels' products in float32 twice over.
template <> const Candidates<AttentionForwardFn<bf16>>& attention_forward<bf16>() {
  static const Candidates<AttentionForwardFn<bf16>> list{GAMUT_AMX({"amx", Tier::amx, forward_tiled<amx::gemm_bf16>})
                                                         GAMUT_AVX512_BF16({"avx512_bf16", Tier::avx512_bf16, forward_tiled<avx512bf16::gemm_bf16>})
                                                         GAMUT_AVX512({"avx512", Tier::avx512, avx512::attention_forward<bf16>})
                                                         GAMUT_AVX2({"avx2", Tier::avx2, avx2::attention_forward<bf16>})
                                                         {"portable", Tier::portable, portable::attention_forward<bf16>},
                                                         {"ref", Tier::ref, ref::attention_forward<bf16>}};
  return list;
}
template <> const Candidates<AttentionBackwardFn<bf16>>& attention_backward<bf16>() {
  static const Candidates<AttentionBackwardFn<bf16>> list{GAMUT_AMX({"amx", Tier::amx, backward_tiled<amx::gemm_bf16>})
                                                          GAMUT_AVX512_BF16({"avx512_bf16", Tier::avx512_bf16, backward_tiled<avx512bf16::gemm_bf16>})
                                                          GAMUT_AVX512({"avx512", Tier::avx512, avx512::attention_backward<bf16>})
                                                          GAMUT_AVX2({"avx2", Tier::avx2, avx2::attention_backward<bf16>})
                                                          {"portable", Tier::portable, portable::attention_backward<bf16>},
                                                          {"ref", Tier::ref, ref::attention_backward<bf16>}};
  return list;
}

template const Candidates<AttentionForwardFn<float>>& attention_forward<float>();
template const Candidates<AttentionForwardFn<double>>& attention_forward<double>();
template const Candidates<AttentionBackwardFn<float>>& attention_backward<float>();
template const Candidates<AttentionBackwardFn<double>>& attention_backward<double>();

}  // namespace gamut::kernels
