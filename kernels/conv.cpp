#include "kernels/conv.h"

#include "kernels/ref/conv.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(conv_forward, ConvForwardFn)
GAMUT_ROW_KERNEL(conv_backward, ConvBackwardFn)

template const Candidates<ConvForwardFn<float>>& conv_forward<float>();
template const Candidates<ConvForwardFn<bf16>>& conv_forward<bf16>();
template const Candidates<ConvForwardFn<double>>& conv_forward<double>();
template const Candidates<ConvBackwardFn<float>>& conv_backward<float>();
template const Candidates<ConvBackwardFn<bf16>>& conv_backward<bf16>();
template const Candidates<ConvBackwardFn<double>>& conv_backward<double>();

}  // namespace gamut::kernels
