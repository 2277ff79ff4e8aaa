// Rows of a table by token id.
#pragma once

#include "core/tape.h"

namespace gamut::ops {

// ids_N int32, each in 0 … V−1 (checked by the caller's reader); table_VD f32 (f64). Result [dims of ids..., D] in `dtype`,
// times `scale`. The gradient adds a token's rows in position order, so it does not depend on threads.
Tensor embedding(Tape& tape, const Tensor& ids, const Tensor& table_VD, DType dtype, double scale = 1.0);

}  // namespace gamut::ops
