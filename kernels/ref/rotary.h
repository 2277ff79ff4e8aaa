// Reference rotary embedding: one pair at a time.
#pragma once

#include "kernels/rotary.h"

namespace gamut::kernels::ref {

template <class T> void rotary(const Rotary<T>& a);

}  // namespace gamut::kernels::ref
