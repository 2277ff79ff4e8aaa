// Elementwise formulas with automatic derivatives.
#pragma once

#include <initializer_list>

#include "core/tape.h"
#include "kernels/map.h"

namespace gamut::ops {

// formula(full…; vectors…): `full` tensors share one shape [..., D] and type, `vectors` are [D] f32 (f64). Result like full[0].
// c0 and c1 are the formula's constants. The formulas: kernels/map.h.
Tensor map(Tape& tape, kernels::Formula formula, std::initializer_list<Tensor> full, std::initializer_list<Tensor> vectors = {}, double c0 = 0, double c1 = 0);

}  // namespace gamut::ops
