// Reference convolution: one channel at a time.
#pragma once

#include "kernels/conv.h"

namespace gamut::kernels::ref {

template <class T> void conv_forward(const ConvForward<T>& a);
template <class T> void conv_backward(const ConvBackward<T>& a);

}  // namespace gamut::kernels::ref
