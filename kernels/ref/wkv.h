// Reference weighted mean of RWKV-4: one channel and one token at a time.
#pragma once

#include "kernels/wkv.h"

namespace gamut::kernels::ref {

template <class T> void wkv_forward(const WkvForward<T>& f);
template <class T> void wkv_backward(const WkvBackward<T>& b);

}  // namespace gamut::kernels::ref
