#include "kernels/norm.h"

#include "kernels/ref/norm.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(norm_forward, NormForwardFn)
GAMUT_ROW_KERNEL(norm_backward, NormBackwardFn)

template const Candidates<NormForwardFn<float>>& norm_forward<float>();
template const Candidates<NormForwardFn<bf16>>& norm_forward<bf16>();
template const Candidates<NormForwardFn<double>>& norm_forward<double>();
template const Candidates<NormBackwardFn<float>>& norm_backward<float>();
template const Candidates<NormBackwardFn<bf16>>& norm_backward<bf16>();
template const Candidates<NormBackwardFn<double>>& norm_backward<double>();

}  // namespace gamut::kernels
