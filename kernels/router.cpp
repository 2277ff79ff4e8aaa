#include "kernels/router.h"

#include "kernels/ref/router.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(route, RouteFn)
GAMUT_ROW_KERNEL(route_backward, RouteBackwardFn)

template const Candidates<RouteFn<float>>& route<float>();
template const Candidates<RouteFn<double>>& route<double>();
template const Candidates<RouteBackwardFn<float>>& route_backward<float>();
template const Candidates<RouteBackwardFn<double>>& route_backward<double>();

}  // namespace gamut::kernels
