// Linear attention whose state decays per key channel and is corrected by a matrix of rank one ("diagonal plus low rank"), one head:
//   u = a·S;   S ← diag(e^g)·S + bᵀu + kᵀv;   o = scale·q·S        S [K, V], vectors are rows
// RWKV-7 (a = −κ̂, b = κ̂∘a), Kimi Delta Attention (a = −e^g∘k, b = βk, k = βk) and gated linear attention (no a, b) are this; RWKV-5 and -6 also, with
// o = scale·q·S of the state before the token (early). [Peng et al., RWKV-7, 2025; Kimi Linear, 2025; Yang et al., GLA, 2023; Peng et al., RWKV-6, 2024]
//
// ref walks over tokens; the vector tiers work in chunks by products of matrices. With G the sum of g within the chunk and rows q, k, a, b, v of its tokens,
//   QK[r,i] = Σ_d q_rd·k_id·e^(G_rd − G_id), i ≤ r;  AK[r,i] = Σ_d a_rd·k_id·e^(G_rd − g_rd − G_id), i < r;  QB and AB likewise with b
//   U = (I − AB)⁻¹·((a∘e^(G − g))·S + AK·V);   O = (q∘e^G)·S + QK·V + QB·U;   S ← e^(G_C)·S + (k∘e^(G_C − G))ᵀV + (b∘e^(G_C − G))ᵀU
// so results depend on where a call begins, within rounding. No factor is above 1, however fast the state decays. [Yang et al. 2023; 2024]
//
// Against the definition in double for unit keys and before rounding to bf16: 2e-5 of the largest element (op cases).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

constexpr int64_t kDplrChunk = 16;  // tokens of a chunk; states are kept before each

// One sequence and head. Rows of q, key, a, b, decay: k_stride apart; of value and out: v_stride apart.
template <class T> struct DplrForward {
  using P = accumulator<T>;
  int64_t tokens, k, v, k_stride, v_stride;
  P scale;
  bool early;          // q reads the state that its token finds, not the one it leaves
  const T *q, *key, *value;
  const T *a, *b;      // ? both or none
  const P* decay;      // g ≤ 0
  P* state;            // [K, V] before the first token; after the last on return
  P* starts;           // ? [⌈tokens/chunk⌉, K, V]: receives the state before each chunk
  T* out;
  std::byte* scratch;  // dplr_scratch bytes, 64-byte aligned
};
// The final state has no gradient; `state` is not read. All results are overwritten.
template <class T> struct DplrBackward {
  using P = accumulator<T>;
  DplrForward<T> forward;  // with starts filled in
  const T* d_out;
  T *d_q, *d_key, *d_value;
  T *d_a, *d_b;            // with a, b
  P* d_decay;
};
int64_t dplr_scratch(DType dtype, int64_t k, int64_t v);
template <class T> using DplrForwardFn = void (*)(const DplrForward<T>&);
template <class T> using DplrBackwardFn = void (*)(const DplrBackward<T>&);
template <class T> const Candidates<DplrForwardFn<T>>& dplr_forward();
template <class T> const Candidates<DplrBackwardFn<T>>& dplr_backward();

}  // namespace gamut::kernels
