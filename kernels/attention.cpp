#include "kernels/attention.h"

#include <algorithm>

#include "kernels/ref/attention.h"
#include "kernels/simd/attention_layout.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// Enough for every implementation and both directions. ref: a query's scores, or a query's gradient and those of all keys and
// values.
int64_t attention_scratch(DType dtype, int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim) {
  const int64_t ref = head_dim + keys * (head_dim + value_dim + 1);
  const AttentionFloats vector = attention_floats(queries, keys, group, head_dim, value_dim);
  return std::max({ref * static_cast<int64_t>(size_of(parameter_dtype(dtype))), vector.forward * 4, vector.backward * 4});
}

GAMUT_ROW_KERNEL(attention_forward, AttentionForwardFn)
GAMUT_ROW_KERNEL(attention_backward, AttentionBackwardFn)

template const Candidates<AttentionForwardFn<float>>& attention_forward<float>();
template const Candidates<AttentionForwardFn<bf16>>& attention_forward<bf16>();
template const Candidates<AttentionForwardFn<double>>& attention_forward<double>();
template const Candidates<AttentionBackwardFn<float>>& attention_backward<float>();
template const Candidates<AttentionBackwardFn<bf16>>& attention_backward<bf16>();
template const Candidates<AttentionBackwardFn<double>>& attention_backward<double>();

}  // namespace gamut::kernels
