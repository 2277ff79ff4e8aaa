#include "kernels/dplr.h"

#include <algorithm>

#include "kernels/ref/dplr.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// What the reference takes: the states of a chunk and a gradient; or the vector tiers on the widest vectors, if that is more.
int64_t dplr_scratch(DType dtype, int64_t k, int64_t v) {
  constexpr int64_t c = kDplrChunk;
  const int64_t kp = (k + 15) / 16 * 16, vp = (v + 15) / 16 * 16;
  const int64_t ref = (c + 2) * k * v + (c + 2) * v, vectors = (15 * c + 2) * kp + 7 * c * vp + 4 * kp * vp + 8 * c * c;
  return dtype == DType::f64 ? static_cast<int64_t>(sizeof(double)) * ref : static_cast<int64_t>(sizeof(float)) * std::max(ref, vectors);
}

GAMUT_ROW_KERNEL(dplr_forward, DplrForwardFn)
GAMUT_ROW_KERNEL(dplr_backward, DplrBackwardFn)

template const Candidates<DplrForwardFn<float>>& dplr_forward<float>();
template const Candidates<DplrForwardFn<bf16>>& dplr_forward<bf16>();
template const Candidates<DplrForwardFn<double>>& dplr_forward<double>();
template const Candidates<DplrBackwardFn<float>>& dplr_backward<float>();
template const Candidates<DplrBackwardFn<bf16>>& dplr_backward<bf16>();
template const Candidates<DplrBackwardFn<double>>& dplr_backward<double>();

}  // namespace gamut::kernels
