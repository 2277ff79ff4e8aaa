#include "kernels/map.h"

#include "kernels/ref/map.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(map_forward, MapForwardFn)
GAMUT_ROW_KERNEL(map_backward, MapBackwardFn)

template const Candidates<MapForwardFn<float>>& map_forward<float>();
template const Candidates<MapForwardFn<bf16>>& map_forward<bf16>();
template const Candidates<MapForwardFn<double>>& map_forward<double>();
template const Candidates<MapBackwardFn<float>>& map_backward<float>();
template const Candidates<MapBackwardFn<bf16>>& map_backward<bf16>();
template const Candidates<MapBackwardFn<double>>& map_backward<double>();

}  // namespace gamut::kernels
