#include "kernels/linear_attention.h"

#include "kernels/ref/linear_attention.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// As many floats as the backward pass takes on the widest vectors.
int64_t linear_attention_scratch(DType dtype, int64_t k, int64_t v) {
  if (dtype == DType::f64) return 64;
  constexpr int64_t c = kAttentionChunk;
  const int64_t kp = (k + 15) / 16 * 16, vp = (v + 15) / 16 * 16;
  return static_cast<int64_t>(sizeof(float)) * (7 * c * kp + 6 * c * c + 7 * c * vp + 4 * kp * vp + 8 * c);
}

GAMUT_ROW_KERNEL(linear_attention_forward, LinearAttentionForwardFn)
GAMUT_ROW_KERNEL(linear_attention_backward, LinearAttentionBackwardFn)

template const Candidates<LinearAttentionForwardFn<float>>& linear_attention_forward<float>();
template const Candidates<LinearAttentionForwardFn<bf16>>& linear_attention_forward<bf16>();
template const Candidates<LinearAttentionForwardFn<double>>& linear_attention_forward<double>();
template const Candidates<LinearAttentionBackwardFn<float>>& linear_attention_backward<float>();
template const Candidates<LinearAttentionBackwardFn<bf16>>& linear_attention_backward<bf16>();
template const Candidates<LinearAttentionBackwardFn<double>>& linear_attention_backward<double>();

}  // namespace gamut::kernels
