// Reference routing: one row at a time, k passes over the experts.
#pragma once

#include "kernels/router.h"

namespace gamut::kernels::ref {

template <class P> void route(const Route<P>& a);
template <class P> void route_backward(const RouteBackward<P>& a);

}  // namespace gamut::kernels::ref
