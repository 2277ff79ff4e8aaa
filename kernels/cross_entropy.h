// Softmax cross-entropy of rows of logits, with the gradient made in the same pass.
//
// Against the definition in double, logits within ±s (cross_entropy_test): loss 3e-7 relative + 4e-7 + 2e-7·s on the vector
// tiers, for every vocabulary up to 50257; ref, which adds in order, 4e-9·vocabulary more.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

// loss_N[n] = w·(logsumexp(row) − row[target]) with the row's weight w, or 0 where target < 0 (ignored).
// d_logits = w·scale · (softmax − onehot) (+ w·scale · 2·z·lse·softmax), rounded to T; 0 in ignored rows.
// Logits are P; d_logits may be null (evaluation) or take the place of the logits: row n begins where row n of the logits does.
template <class T> struct CrossEntropy {
  using P = accumulator<T>;
  int64_t rows, vocab;
  const P* logits_NV;
  const int32_t* target_N;
  const P* weight_N = nullptr;  // ? null: 1
  P scale;      // 1 / number of loss-bearing tokens
  P z;          // coefficient of lse² (0: none); not part of loss_N
  P* loss_N;
  P* lse_N;     // ?
  T* d_logits_NV;  // ?
  int64_t d_stride = 0;  // elements from one row of d_logits to the next; 0: vocab
  P* exp_V = nullptr;    // ? room for a row's exponentials between the sum and the gradient, which else are made twice
};
template <class T> using CrossEntropyFn = void (*)(const CrossEntropy<T>&);
template <class T> const Candidates<CrossEntropyFn<T>>& cross_entropy();

}  // namespace gamut::kernels
