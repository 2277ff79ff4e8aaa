// Block sizes of the vector attention kernels, and the scratch memory they need.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace gamut::kernels {

constexpr int64_t kKeyBlock = 128;  // keys whose scores are held at once; multiple of every tier's panel
constexpr int64_t kRowBlock = 64;   // query rows (queries × heads of the group) beside them

// Floats a row of n takes in scratch as the right-hand side of a product: whole vectors of the widest tier.
[[gnu::always_inline]] constexpr int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
[[gnu::always_inline]] constexpr int64_t queries_per_block(int64_t group) { return group < kRowBlock ? kRowBlock / group : 1; }

// The part of a key block that a query sees: keys begin … end−1 of it.
struct KeyPart {
  int32_t begin, end;
  [[gnu::always_inline]] bool empty() const { return begin >= end; }
};
[[gnu::always_inline]] inline KeyPart visible_part(const Sight& sight, int64_t keys, int64_t position, int64_t block) {
  const KeyRange range = visible_keys(sight, keys, position);
  const int64_t begin = range.begin - block, end = range.end - block;
  return {static_cast<int32_t>(begin < 0 ? 0 : begin < kKeyBlock ? begin : kKeyBlock), static_cast<int32_t>(end < 0 ? 0 : end < kKeyBlock ? end : kKeyBlock)};
}

// How raw scores become scores, in units of log₂. Biases are copied to rows that whole vectors around visible keys may read, and
// their gradient gathers in rows alike: column j − i + const for key j and query i.
struct ScoreChange {
  float cap = 0;
  int64_t group = 1, width = 0;
  float *bias = nullptr, *d_bias = nullptr;  // ? [group, width]
  int64_t origin = 0;                        // column of key 0 for query 0
  int64_t column = 0;                        // of the first key of a block for the first query of a block

  [[gnu::always_inline]] bool any() const { return cap > 0 || bias; }
  [[gnu::always_inline]] void look(int64_t first_query, int64_t key_block) { column = origin + key_block - first_query; }
  [[gnu::always_inline]] int64_t row(int64_t r) const { return r % group * width + column - r / group; }
};
[[gnu::always_inline]] constexpr int64_t bias_width(int64_t queries, int64_t keys) { return padded(queries + keys + 2 * kKeyBlock); }

// Distances from query to key that occur, and with copy(from, to, count) the biases of one head between caller's and scratch rows.
template <class T, class Copy> [[gnu::always_inline]] inline void for_bias_rows(const AttentionForward<T>& a, const ScoreChange& change, const Copy& copy) {
  int64_t low = 1, high = 0;
  for (int64_t i = 0; i < a.queries; ++i) {
    const KeyRange range = visible_keys(a.sight, a.keys, a.offset + i);
    if (range.begin >= range.end) continue;
    const int64_t nearest = range.begin - a.offset - i, farthest = range.end - 1 - a.offset - i;
    if (low > high) low = nearest, high = farthest;
    if (nearest < low) low = nearest;
    if (farthest > high) high = farthest;
  }
  if (low > high) return;
  for (int64_t g = 0; g < a.group; ++g) copy(g * a.bias_stride + low, g * change.width + change.origin + a.offset + low, high - low + 1);
}

// `rows`: scratch of 2·group·bias_width floats when there is a bias; `gradient`: of the bias, too.
template <class T> [[gnu::always_inline]] inline ScoreChange score_change(const AttentionForward<T>& a, float* rows, bool gradient, float log2e) {
  ScoreChange change{.cap = a.softcap * log2e, .group = a.group};
  if (!a.bias || a.queries == 0) return change;
  const int64_t size = a.group * bias_width(a.queries, a.keys);
  change.width = bias_width(a.queries, a.keys);
  change.origin = a.queries - 1 - visible_keys(a.sight, a.keys, a.offset).begin / kKeyBlock * kKeyBlock;
  change.bias = rows;
  for (int64_t i = 0; i < size; ++i) rows[i] = 0;
  for_bias_rows(a, change, [&](int64_t from, int64_t to, int64_t count) __attribute__((always_inline)) {
    for (int64_t i = 0; i < count; ++i) rows[to + i] = log2e * a.bias[from + i];
  });
  if (!gradient) return change;
  change.d_bias = rows + size;
  for (int64_t i = 0; i < size; ++i) change.d_bias[i] = 0;
  return change;
}
template <class T> [[gnu::always_inline]] inline void add_bias_gradient(const AttentionForward<T>& a, const ScoreChange& change, float* d_bias) {
  if (!change.d_bias) return;
  for_bias_rows(a, change, [&](int64_t to, int64_t from, int64_t count) __attribute__((always_inline)) {
    for (int64_t i = 0; i < count; ++i) d_bias[to + i] += change.d_bias[from + i];
  });
}

struct AttentionFloats {
  int64_t forward, backward;
};
// Floats of scratch, by what attention.inl takes.
constexpr AttentionFloats attention_floats(int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim, bool biased) {
  const int64_t block = queries_per_block(group) * group, rows = queries * group;
  const int64_t k = padded(head_dim), v = padded(value_dim), all_keys = (keys + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const int64_t bias = biased ? group * bias_width(queries, keys) : 0;
  return {bias + all_keys * (k + v) + block * (k + v + kKeyBlock + 16) + padded(block) * 3 + padded(2 * block),
          2 * bias + rows * (2 * k + v) + padded(rows) * 2 + kKeyBlock * (3 * k + 2 * v) + 2 * block * kKeyBlock + padded(2 * block)};
}

}  // namespace gamut::kernels
