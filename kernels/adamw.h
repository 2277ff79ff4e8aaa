// AdamW in one pass over memory [Loshchilov & Hutter, 2019; ε placed as in PyTorch]. Within 4e-7 relative (adamw_test).
#pragma once

#include <cstdint>

#include "kernels/candidates.h"

namespace gamut::kernels {

//   g ← clip·g;  w ← w·(1 − lr·decay)
//   m ← β1 m + (1−β1) g;  v ← β2 v + (1−β2) g²
//   w ← w − lr/c1 · m / (√v/√c2 + ε),  c1 = 1−β1^t, c2 = 1−β2^t;  then g ← 0
template <class P> struct AdamW {
  int64_t n;
  P *w, *g, *m, *v;
  P lr, beta1, beta2, eps, decay, clip, c1, c2;
};
template <class P> using AdamWFn = void (*)(const AdamW<P>&);
template <class P> const Candidates<AdamWFn<P>>& adamw();

}  // namespace gamut::kernels
