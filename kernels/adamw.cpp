#include "kernels/adamw.h"

#include "kernels/ref/adamw.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(adamw, AdamWFn)

template const Candidates<AdamWFn<float>>& adamw<float>();
template const Candidates<AdamWFn<double>>& adamw<double>();

}  // namespace gamut::kernels
