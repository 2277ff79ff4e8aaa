// Reference selective scan: one channel at a time.
#pragma once

#include "kernels/scan.h"

namespace gamut::kernels::ref {

template <class T> void scan_forward(const ScanForward<T>& a);
template <class T> void scan_backward(const ScanBackward<T>& a);

}  // namespace gamut::kernels::ref
