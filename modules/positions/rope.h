// Angles of rotary position embedding.
#pragma once

#include "core/tape.h"

namespace gamut {

// cos and sin of position·θ^(−2i/R) for positions 0 … M−1 and i < R/2 [Su et al., 2021]; f32 (f64).
struct RopeTable {
  Tensor cos_MR, sin_MR;
};
RopeTable rope_table(Tape& tape, int64_t positions, int64_t rotary, double theta, DType dtype);

}  // namespace gamut
