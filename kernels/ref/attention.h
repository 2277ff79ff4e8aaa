// Reference attention: every query by itself against the keys it sees.
#pragma once

#include "kernels/attention.h"

namespace gamut::kernels::ref {

template <class T> void attention_forward(const AttentionForward<T>& a);
template <class T> void attention_backward(const AttentionBackward<T>& a);

}  // namespace gamut::kernels::ref
