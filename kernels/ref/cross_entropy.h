// Reference cross-entropy: maximum, sum of exponentials, gradient.
#pragma once

#include "kernels/cross_entropy.h"

namespace gamut::kernels::ref {

template <class T> void cross_entropy(const CrossEntropy<T>& a);

}  // namespace gamut::kernels::ref
