// Deterministic sums over rows, cut into blocks by shape alone.
#pragma once

#include <functional>

#include "core/tape.h"

namespace gamut::ops {

// Rows of one task in row-wise operations: enough work to pay for the hand-over, small enough to stay in L2.
constexpr int64_t kRowBlock = 128;
inline int64_t row_blocks(int64_t rows) { return (rows + kRowBlock - 1) / kRowBlock; }

// Calls run(first_row, rows, thread) for every block of rows.
void for_row_blocks(Tape& tape, int64_t rows, const std::function<void(int64_t, int64_t, int)>& run);

// into_D += Σ over rows of what `partial(first_row, rows, sum_D)` adds to a zeroed sum_D, block sums added in block order.
// P is float or double; `lists` partial vectors of width D may be produced at once (laid out one after another).
template <class P>
void sum_over_rows(Tape& tape, int64_t rows, std::span<const Tensor> into, std::function<void(int64_t, int64_t, P* const*)> partial);

// bias_N += Σ of the first `rows` rows of x [M, N]; −1: of all.
void add_column_sums(Tape& tape, const Tensor& x, const Tensor& into, int64_t rows = -1);

}  // namespace gamut::ops
