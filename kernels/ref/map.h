// Reference formulas: one element at a time.
#pragma once

#include "kernels/map.h"

namespace gamut::kernels::ref {

template <class T> void map_forward(const MapForward<T>& a);
template <class T> void map_backward(const MapBackward<T>& a);

}  // namespace gamut::kernels::ref
