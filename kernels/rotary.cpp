#include "kernels/rotary.h"

#include "kernels/ref/rotary.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(rotary, RotaryFn)

template const Candidates<RotaryFn<float>>& rotary<float>();
template const Candidates<RotaryFn<bf16>>& rotary<bf16>();
template const Candidates<RotaryFn<double>>& rotary<double>();

}  // namespace gamut::kernels
