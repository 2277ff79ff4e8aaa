// Scaled dot-product attention of one batch row and one group of query heads that share a key/value head.
// Online softmax over key blocks; no [queries × keys] matrix beyond a block; masked blocks are skipped.
//
// A query's output and dq do not depend, bit for bit, on the other queries of the call or on hidden (finite) keys: decoding one
// query gives what a whole sequence gives. dk and dv sum over queries in order. Against the definition in double, for inputs of
// order 1 and before rounding to bf16 (attention_test): out 2e-6 relative + 4e-6, lse 4e-6, gradients 5e-6 relative + 1e-5
// (dk, dv + 1e-6 per row); bf16 gradients carry the rounding of the `out` they read. Tiers with dots of bf16 round p and dp, too: 2⁻⁸ of a tensor's largest element, gradients 2⁻⁷.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

// Query i sits at position offset + i, key j at position j. Visible are keys first ≤ j < keys, of these
// with causal: j ≤ position, or, with block > 0, j in the position's block or before it; and always j < prefix;
// with window > 0: |j − position| < window; with chunk > 0: j in the position's chunk. Blocks and chunks are counted from `first`.
struct Sight {
  bool causal = true;
  int64_t window = 0;  // 0: unlimited
  int64_t prefix = 0;  // keys before it are visible to every query, as far as its window and chunk reach
  int64_t block = 0;   // causal across blocks of this length, both ways within; 0: position by position [block diffusion]
  int64_t chunk = 0;   // 0: unlimited [Llama 4]
  int64_t first = 0;   // keys before it are padding
};

// The keys a query at `position` sees, 0 ≤ begin ≤ end ≤ keys. From one position to the next neither bound moves back. Always
// inlined, so that no copy compiled for a higher instruction tier is left for the linker to choose.
struct KeyRange {
  int64_t begin, end;
};
[[gnu::always_inline]] constexpr KeyRange visible_keys(const Sight& sight, int64_t keys, int64_t position) {
  const int64_t at = position > sight.first ? position - sight.first : 0;
  int64_t begin = sight.first, end = keys;
  if (sight.causal) {
    int64_t reach = position < sight.first ? sight.first : sight.block > 0 ? sight.first + (at / sight.block + 1) * sight.block : position + 1;
    if (reach < sight.prefix) reach = sight.prefix;
    if (reach < end) end = reach;
  }
  if (sight.window > 0) {
    if (begin < position - sight.window + 1) begin = position - sight.window + 1;
    if (position + sight.window < end) end = position + sight.window;
  }
  if (sight.chunk > 0) {
    const int64_t chunk = sight.first + at / sight.chunk * sight.chunk;
    if (begin < chunk) begin = chunk;
    if (chunk + sight.chunk < end) end = chunk + sight.chunk;
  }
  if (begin > keys) begin = keys;
  return {begin, end > begin ? end : begin};
}

// Rows of q/out: q + i·q_stride + g·head_dim for query i and head g of the group (heads adjacent). Keys: k + j·k_stride.
template <class T> struct AttentionForward {
  using P = accumulator<T>;
  Sight sight;
  int64_t queries, keys, offset, group, head_dim, value_dim;
  P scale;                     // usually 1/sqrt(head_dim)
  const T *q, *k, *v;
  int64_t q_stride, k_stride, v_stride, out_stride;  // in elements
  T* out;                      // [queries, group, value_dim] with out_stride per query
  P* lse;                      // [group, queries] log Σ exp of the scores; zero output when nothing is visible, and −inf without a sink
  std::byte* scratch;          // attention_scratch bytes, 64-byte aligned
  // What makes scores of x = scale·q·k; as it stands: nothing, the score is x.
  P softcap = 0;               // > 0: softcap·tanh(x / softcap) [Gemma 2, 2024]
  const P* bias = nullptr;     // ? added: bias[g·bias_stride + j − position], readable for every distance at which any key is visible
  int64_t bias_stride = 0;
  const P* sink = nullptr;     // ? [group] a score without key or value in the denominator of every query [gpt-oss, 2025]
};
// dq, dk, dv are overwritten (not accumulated); dk, dv sum over the group. Strides as their forward tensors.
template <class T> struct AttentionBackward {
  using P = accumulator<T>;
  AttentionForward<T> forward;  // with out and lse filled in
  const T* d_out;               // like out
  T *dq, *dk, *dv;
  std::byte* scratch;
  P* d_bias = nullptr;          // ? like bias, added to; query by query within blocks of keys
};
int64_t attention_scratch(DType dtype, int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim, bool biased = false);
template <class T> using AttentionForwardFn = void (*)(const AttentionForward<T>&);
template <class T> using AttentionBackwardFn = void (*)(const AttentionBackward<T>&);
template <class T> const Candidates<AttentionForwardFn<T>>& attention_forward();
template <class T> const Candidates<AttentionBackwardFn<T>>& attention_backward();

}  // namespace gamut::kernels
