// One step of a recurrent cell for some rows, between the products of matrices: gates from W·x + b and U·h + b'.
//   lstm  c ← σ(f)·c + σ(i)·tanh(g),  h ← σ(o)·tanh(c)                  gates i, f, g, o   [Hochreiter & Schmidhuber 1997]
//   gru   n = tanh(W_n x + σ(r)·(U_n h + b'_n)),  h ← (1 − σ(z))·n + σ(z)·h   gates r, z, n   [Cho et al. 2014, as in cuDNN]
//   tanh  h ← tanh(W x + U h)                                                            [Elman 1990]
// The order of gates is that of cuDNN and torch.nn.
//
// Against the definition in double for inputs of order 1 and before rounding to bf16: 1e-6 of the largest element a step (op cases).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

enum class Cell : uint8_t { tanh, gru, lstm };
constexpr int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

// Row r of each array starts `…_stride` elements after row r − 1; without one, rows have no gaps. H: hidden, G: gates_of(cell).
template <class T> struct CellForward {
  using P = accumulator<T>;
  Cell cell;
  int64_t rows, hidden;
  const T* input;      // [G·H] W·x + b
  int64_t input_stride;
  const P* recurrent;  // [G·H] U·h + b'
  const T* before;     // [H] h; read by gru alone
  int64_t before_stride;
  P* memory;           // [H] c of lstm, before and after; not touched otherwise
  T* out;              // [H] h after
  int64_t out_stride;
  P* gates;            // ? [G·H] what gradients need: the gates after their functions…
  P* kept;             // ? [H] …and c after (lstm) or U_n·h + b'_n (gru)
  int64_t gates_stride, kept_stride;
};
// Steps are undone from the last to the first.
template <class T> struct CellBackward {
  using P = accumulator<T>;
  Cell cell;
  int64_t rows, hidden;
  const T* d_out;
  int64_t d_out_stride;
  const P* from_next;  // ? [H] gradient of h through U of the step after; null: none
  P* carried;          // [H] past U: gradient of c (lstm) or of h (gru), of the step after and, on return, of the step before
  const P *gates, *kept, *kept_before;  // kept_before: ? of the step before, rows as kept; null: zeros
  int64_t gates_stride, kept_stride;
  const T* before;     // ? [H] h of the step before (gru); null: zeros
  int64_t before_stride;
  T* d_input;          // [G·H] of W·x + b…
  T* d_recurrent;      // …and of U·h + b', which is the same memory but for gru
  int64_t d_stride;
};
template <class T> using CellForwardFn = void (*)(const CellForward<T>&);
template <class T> using CellBackwardFn = void (*)(const CellBackward<T>&);
template <class T> const Candidates<CellForwardFn<T>>& cell_forward();
template <class T> const Candidates<CellBackwardFn<T>>& cell_backward();

}  // namespace gamut::kernels
