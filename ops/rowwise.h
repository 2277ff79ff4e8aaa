// Row-by-row arithmetic that no other operation has: written once in double, with its gradient beside it.
#pragma once

#include <functional>

#include "core/tape.h"

namespace gamut::ops {

// out [N, width], f32 (f64) like in [N, E]: forward(row, in_E, out) fills a row; backward(row, in_E, d_out, d_in_E) adds to zeros the
// gradient of in. Rows run in parallel: functions share nothing they write.
using RowForward = std::function<void(int64_t row, const double* in, double* out)>;
using RowBackward = std::function<void(int64_t row, const double* in, const double* d_out, double* d_in)>;
Tensor rowwise(Tape& tape, const char* name, const Tensor& in_NE, int64_t width, RowForward forward, RowBackward backward);

// Adds `value` (already times its coefficient) to the losses; gradient(row, in_E, d_in_E) adds to zeros what it leaves in rows of `in`.
using RowGradient = std::function<void(int64_t row, const double* in, double* d_in)>;
void row_loss(Tape& tape, const char* name, const Tensor& in_NE, double value, RowGradient gradient);

// In gradients: adds to the gradient of `in` what gradient(row, in, d_in) leaves.
void add_rows(Tape& tape, const Tensor& in_NE, const RowGradient& gradient);

// Rows divided by max(their length, 1e-12).
Tensor unit_rows(Tape& tape, const Tensor& x_ND);

// x·f(s), s a tensor of one element; f gives its value and its slope.
struct ValueAndSlope {
  double value, slope;
};
Tensor times_scalar(Tape& tape, const Tensor& x_ND, const Tensor& scalar, std::function<ValueAndSlope(double)> f);

// [N, A + B]: rows of a beside rows of b, f32 (f64).
Tensor beside(Tape& tape, const Tensor& a_NA, const Tensor& b_NB);

// Element i of a tensor of any float type; row r of one.
double value_at(const Tensor& t, int64_t i);
void read_row(const Tensor& t, int64_t r, double* out);

}  // namespace gamut::ops
