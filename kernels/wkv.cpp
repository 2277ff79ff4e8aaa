#include "kernels/wkv.h"

#include "kernels/ref/wkv.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// The states of a chunk, of vectors of at most 16 floats.
int64_t wkv_scratch() { return 64 * 3 * kWkvChunk; }

GAMUT_ROW_KERNEL(wkv_forward, WkvForwardFn)
GAMUT_ROW_KERNEL(wkv_backward, WkvBackwardFn)

template const Candidates<WkvForwardFn<float>>& wkv_forward<float>();
template const Candidates<WkvForwardFn<bf16>>& wkv_forward<bf16>();
template const Candidates<WkvForwardFn<double>>& wkv_forward<double>();
template const Candidates<WkvBackwardFn<float>>& wkv_backward<float>();
template const Candidates<WkvBackwardFn<bf16>>& wkv_backward<bf16>();
template const Candidates<WkvBackwardFn<double>>& wkv_backward<double>();

}  // namespace gamut::kernels
