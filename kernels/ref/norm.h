// Reference norms: plain loops over one row at a time.
#pragma once

#include "kernels/norm.h"

namespace gamut::kernels::ref {

template <class T> void norm_forward(const NormForward<T>& a);
template <class T> void norm_backward(const NormBackward<T>& a);

}  // namespace gamut::kernels::ref
