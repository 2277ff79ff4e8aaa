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

// Query i sits at position offset + i, key j at position j. Visible: j < keys, and
// with causal: j ≤ max(position of i, prefix − 1); with window > 0: also j > position of i − window.
struct Sight {
  bool causal = true;
  int64_t window = 0;  // 0: unlimited
  int64_t prefix = 0;  // the first `prefix` keys are visible to every query, as far as its window reaches
};

// The keys a query at `position` sees: one range, empty when end ≤ begin. Always inlined, so that no copy compiled for a
// higher instruction tier is left for the linker to choose.
struct KeyRange {
  int64_t begin, end;
};
[[gnu::always_inline]] constexpr KeyRange visible_keys(const Sight& sight, int64_t keys, int64_t position) {
  const int64_t causal_end = position + 1 > sight.prefix ? position + 1 : sight.prefix;
  return {sight.window > 0 && position >= sight.window ? position - sight.window + 1 : 0,
          sight.causal && causal_end < keys ? causal_end : keys};
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
  P* lse;                      // [group, queries] log Σ exp of the scaled scores; −inf and zero output when nothing is visible
  std::byte* scratch;          // attention_scratch bytes, 64-byte aligned
};
// dq, dk, dv are overwritten (not accumulated); dk, dv sum over the group. Strides as their forward tensors.
template <class T> struct AttentionBackward {
  using P = accumulator<T>;
  AttentionForward<T> forward;  // with out and lse filled in
  const T* d_out;               // like out
  T *dq, *dk, *dv;
  std::byte* scratch;
};
int64_t attention_scratch(DType dtype, int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim);
template <class T> using AttentionForwardFn = void (*)(const AttentionForward<T>&);
template <class T> using AttentionBackwardFn = void (*)(const AttentionBackward<T>&);
template <class T> const Candidates<AttentionForwardFn<T>>& attention_forward();
template <class T> const Candidates<AttentionBackwardFn<T>>& attention_backward();

}  // namespace gamut::kernels
