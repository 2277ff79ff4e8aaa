// Reference recurrent cells: the equations, number by number.
#pragma once

#include "kernels/cell.h"

namespace gamut::kernels::ref {

template <class T> void cell_forward(const CellForward<T>& a);
template <class T> void cell_backward(const CellBackward<T>& b);

}  // namespace gamut::kernels::ref
