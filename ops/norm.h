// Residual addition and normalisation in one operation.
#pragma once

#include "core/tape.h"
#include "kernels/norm.h"

namespace gamut::ops {

struct NormWeight {
  kernels::NormKind kind = kernels::NormKind::rms;
  double eps = 1e-5;
  Tensor gain_D;  // ? f32 (f64)
  Tensor bias_D;  // ? LayerNorm only
};

struct AddNorm {
  Tensor sum;  // x + y in the type of x (x itself when there is no y): the residual stream goes on from here
  Tensor out;  // norm(sum)
};

// y = x/√(mean(x²)+ε)·gain [Zhang & Sennrich 2019], or (x−mean)/√(var+ε)·gain + bias [Ba et al. 2016]. Over the last
// dimension of x [..., D]; y null or of the same shape. Statistics in float32.
AddNorm add_norm(Tape& tape, const Tensor& x, const Tensor& y, const NormWeight& norm);
inline Tensor norm(Tape& tape, const Tensor& x, const NormWeight& weight) { return add_norm(tape, x, Tensor(), weight).out; }

}  // namespace gamut::ops
