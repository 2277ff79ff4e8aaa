#include "kernels/cross_entropy.h"

#include "kernels/ref/cross_entropy.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(cross_entropy, CrossEntropyFn)

template const Candidates<CrossEntropyFn<float>>& cross_entropy<float>();
template const Candidates<CrossEntropyFn<bf16>>& cross_entropy<bf16>();
template const Candidates<CrossEntropyFn<double>>& cross_entropy<double>();

}  // namespace gamut::kernels
