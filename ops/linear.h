// Linear maps that share one input: Y_i = X·W_iᵀ + b_i.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/tape.h"

namespace gamut::ops {

struct LinearWeight {
  Tensor w_NK;    // f32 (f64) parameter, out × in
  Tensor bias_N;  // ? same type
};

// x [..., K] of any float type; each result [..., N_i] in the type of x, or in `out_dtype` when given. One parallel loop
// serves all; the gradient of x sums the terms in registers. Error when a width disagrees.
std::vector<Tensor> linear(Tape& tape, const Tensor& x, std::span<const LinearWeight> weights, std::optional<DType> out_dtype = {});
Tensor linear(Tape& tape, const Tensor& x, const LinearWeight& weight, std::optional<DType> out_dtype = {});

}  // namespace gamut::ops
