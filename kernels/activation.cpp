#include "kernels/activation.h"

#include "kernels/ref/activation.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(gated_forward, GatedForwardFn)
GAMUT_ROW_KERNEL(gated_backward, GatedBackwardFn)

template const Candidates<GatedForwardFn<float>>& gated_forward<float>();
template const Candidates<GatedForwardFn<bf16>>& gated_forward<bf16>();
template const Candidates<GatedForwardFn<double>>& gated_forward<double>();
template const Candidates<GatedBackwardFn<float>>& gated_backward<float>();
template const Candidates<GatedBackwardFn<bf16>>& gated_backward<bf16>();
template const Candidates<GatedBackwardFn<double>>& gated_backward<double>();

}  // namespace gamut::kernels
