// Reference diagonal-plus-low-rank attention: one token at a time, element by element.
#pragma once

#include "kernels/dplr.h"

namespace gamut::kernels::ref {

template <class T> void dplr_forward(const DplrForward<T>& f);
template <class T> void dplr_backward(const DplrBackward<T>& f);

}  // namespace gamut::kernels::ref
