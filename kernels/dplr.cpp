#include "kernels/dplr.h"

#include "kernels/ref/dplr.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// The states of one chunk and a gradient, in rows of whole vectors; the reference also takes this memory, in double for f64.
int64_t dplr_scratch(DType dtype, int64_t k, int64_t v) {
  const int64_t vp = (v + 15) / 16 * 16;
  return static_cast<int64_t>(dtype == DType::f64 ? sizeof(double) : sizeof(float)) * ((kDplrChunk + 2) * k * vp + (kDplrChunk + 2) * vp + 64);
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
