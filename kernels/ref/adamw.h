// Reference AdamW: the formula, one parameter at a time.
#pragma once

#include "kernels/adamw.h"

namespace gamut::kernels::ref {

template <class P> void adamw(const AdamW<P>& a);

}  // namespace gamut::kernels::ref
