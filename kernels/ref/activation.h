// Reference activations: value and derivative of one number, and the loops that apply them.
#pragma once

#include "kernels/activation.h"

namespace gamut::kernels::ref {

template <class P> struct ActivationValue { P value, slope; };
template <class P> ActivationValue<P> activate(Activation activation, P x);

template <class T> void gated_forward(const GatedForward<T>& a);
template <class T> void gated_backward(const GatedBackward<T>& a);

}  // namespace gamut::kernels::ref
