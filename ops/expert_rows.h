// What operations over experts share: rows sorted by expert, products of each expert's rows with its matrix.
#pragma once

#include <vector>

#include "kernels/gemm.h"
#include "ops/ffn.h"
#include "ops/packed_weight.h"

namespace gamut::ops {

// Rows of expert e are begin[e] … begin[e+1]−1. On shapes alone experts share the rows evenly.
struct Segments {
  std::vector<int64_t> begin;
  int64_t experts() const { return static_cast<int64_t>(begin.size()) - 1; }
  int64_t rows() const { return begin.back(); }
};

// Order of the rows after sorting by expert.
struct Plan {
  Segments segments;
  Tensor token_R;  // int32: token of each row
  Tensor row_Nk;   // int32: row of each slot, −1 when no expert takes it
  Tensor slot_R;   // int32: slot of each row
};

// Slots in which the index is negative get no row.
Plan plan_rows(Tape& tape, const Dispatch& dispatch, int64_t experts);

// rows[r] = x[token[r]].
Tensor gather(Tape& tape, const Tensor& x, const Plan& plan);

// y[t] = Σ_j rows[row[t,j]] in slot order; (+ what is in y already, last).
void combine(Tape& tape, const Tensor& rows, const Plan& plan, int64_t k, const Tensor& y);

// out rows of each expert = a rows × packed weight (+ bias); then `epilogue`, which counts the rows of all experts.
void project(Tape& tape, const Segments& segments, const Tensor& a, const Tensor& w, Side side, const Tensor& bias, const Tensor& out, const kernels::Epilogue& epilogue = {});

// dW_e += aᵀ·b over the rows of each expert.
void weight_gradient(std::vector<kernels::GemmAtB>& problems, Tape& tape, const Segments& segments, const Tensor& a, const Tensor& b, const Tensor& w);

}  // namespace gamut::ops
