// Linear attention with a decay per head and token, and optionally the delta rule. State S [K, V] per value head:
//   S ← e^g·S;   S ← S + kᵀ·d,  d = β·v  or, with the delta rule, β·(v − k·S);   o = scale·q·S + skip·v
// Linear attention (g = 0, β = 1), RetNet and Lightning (g constant), Mamba-2's SSD (β = Δ, g = Δ·A, skip = D), DeltaNet (g = 0) and
// Gated DeltaNet are this with some inputs absent. [Katharopoulos et al. 2020; Sun et al. 2023; Dao & Gu 2024; Yang et al. 2024]
//
// ref walks over tokens; the vector tiers work in chunks of kAttentionChunk tokens by products of matrices: with G the sum of g within the
// chunk, Γ[r,i] = e^(G_r − G_i), L = tril(β·KKᵀ∘Γ, −1):
//   D = (I + L)⁻¹·β(V − e^G·KS);   O = e^G·QS + tril(QKᵀ∘Γ)·D;   S ← e^(G_C)·S + (e^(G_C − G)·K)ᵀ·D
// so results depend on where a call begins, within rounding: 2e-5 of the largest element in f32 for unit keys (op cases).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

constexpr int64_t kAttentionChunk = 64;

// One sequence and the `heads` neighbouring value heads that share one query/key head. Rows of token t: q + t·q_stride [K],
// key likewise, value + t·v_stride [heads, V], beta + t·gate_stride and decay + t·decay_stride [heads].
template <class T> struct LinearAttentionForward {
  using P = accumulator<T>;
  int64_t tokens, heads, k, v;
  bool delta;
  P scale;
  const T *q, *key, *value;
  int64_t q_stride, k_stride, v_stride, gate_stride, decay_stride;  // decay_stride 0: the same for every token
  const P* decay;   // ? g ≤ 0; null: 0
  const P* beta;    // ? null: 1
  const P* skip_H;  // ? null: 0
  P* state;         // [heads, K, V] before the first token; after the last when the call returns
  P* starts;        // ? [⌈tokens/chunk⌉, heads, K, V]: receives the state before each chunk
  T* out;           // like value, out_stride apart
  int64_t out_stride;
  std::byte* scratch;  // linear_attention_scratch bytes, 64-byte aligned
};
// Nothing is kept of the final state, whose gradient is zero; `state` is not read.
template <class T> struct LinearAttentionBackward {
  using P = accumulator<T>;
  LinearAttentionForward<T> forward;  // with starts filled in
  const T* d_out;                     // like out
  P *d_q, *d_key;                     // rows [K] dq_stride apart; summed over the heads; overwritten
  int64_t dq_stride;
  T* d_value;                         // like value; overwritten
  P *d_decay, *d_beta;                // ? like beta; overwritten
  P* d_skip_H;                        // ? overwritten
};
int64_t linear_attention_scratch(DType dtype, int64_t k, int64_t v);
template <class T> using LinearAttentionForwardFn = void (*)(const LinearAttentionForward<T>&);
template <class T> using LinearAttentionBackwardFn = void (*)(const LinearAttentionBackward<T>&);
template <class T> const Candidates<LinearAttentionForwardFn<T>>& linear_attention_forward();
template <class T> const Candidates<LinearAttentionBackwardFn<T>>& linear_attention_backward();

}  // namespace gamut::kernels
