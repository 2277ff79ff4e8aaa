// Reference linear attention: one token at a time.
#pragma once

#include "kernels/linear_attention.h"

namespace gamut::kernels::ref {

template <class T> void linear_attention_forward(const LinearAttentionForward<T>& a);
template <class T> void linear_attention_backward(const LinearAttentionBackward<T>& a);

}  // namespace gamut::kernels::ref
