// Scaled dot-product attention with grouped key/value heads.
#pragma once

#include "core/tape.h"
#include "kernels/attention.h"

namespace gamut::ops {

// Who sees whom: a rule for all rows of a batch, and per row, where given (int32 [B]), the number of keys (padding on the right),
// the first key (padding on the left) and the prefix that every query sees, each in place of the rule's own.
struct Visibility {
  kernels::Sight sight;
  Tensor keys_B = {}, first_B = {}, prefix_B = {};
  explicit operator bool() const { return keys_B || first_B || prefix_B; }  // rows differ
};

// Distances from query to key position that can occur, both ends included.
struct Distances {
  int64_t low, high;
  int64_t count() const { return high - low + 1; }
};
Distances occurring_distances(const Visibility& visibility, int64_t queries, int64_t keys, int64_t offset);

// A number for each head and distance, added to scores: column d − low is distance d. f32 (f64).
struct DistanceBias {
  Tensor value_HR;  // null: none
  int64_t low = 0;
};

// score = c·tanh(scale·q·k / c) + bias, c the softcap; without it scale·q·k + bias.
struct AttentionScores {
  double scale = 1;
  double softcap = 0;      // 0: none [Gemma 2, 2024]
  DistanceBias bias = {};  // covers the occurring distances
  Tensor sink_H = {};      // ? f32 (f64): a score per head that joins the denominator of every softmax [gpt-oss, 2025]
};

// q [B, Tq, H, K], k [B, Tk, G, K], v [B, Tk, G, V], H a multiple of G; result [B, Tq, H·V]. Query i stands at position
// offset + i. Only the first `keys` of Tk are looked at (−1: all): k and v may be caches with room to grow. v null: the first `value_dim`
// elements of a key are its value, too; no gradients then.
// softmax(score + mask)·v [Vaswani et al., 2017], computed blockwise; log Σ exp is kept for the gradient. A query that sees no key
// gives zeros and passes no gradient on.
Tensor attention(Tape& tape, const Tensor& q, const Tensor& k, const Tensor& v, const Visibility& visibility, const AttentionScores& scores, int64_t offset = 0,
                 int64_t keys = -1, int64_t value_dim = 0);

}  // namespace gamut::ops
