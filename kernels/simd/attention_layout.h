// Block sizes of the vector attention kernels, and the scratch memory they need.
#pragma once

#include <cstdint>

namespace gamut::kernels {

constexpr int64_t kKeyBlock = 128;  // keys whose scores are held at once; multiple of every tier's panel
constexpr int64_t kRowBlock = 64;   // query rows (queries × heads of the group) beside them

// Floats a row of n takes in scratch as the right-hand side of a product: whole vectors of the widest tier.
[[gnu::always_inline]] constexpr int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
[[gnu::always_inline]] constexpr int64_t queries_per_block(int64_t group) { return group < kRowBlock ? kRowBlock / group : 1; }

struct AttentionFloats {
  int64_t forward, backward;
};
// Floats of scratch, by what attention.inl takes.
constexpr AttentionFloats attention_floats(int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim) {
  const int64_t block = queries_per_block(group) * group, rows = queries * group;
  const int64_t k = padded(head_dim), v = padded(value_dim), all_keys = (keys + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  return {all_keys * (k + v) + block * (k + v + kKeyBlock + 16) + padded(block) * 3 + padded(2 * block),
          rows * (2 * k + v) + padded(rows) * 2 + kKeyBlock * (3 * k + 2 * v) + 2 * block * kKeyBlock + padded(2 * block)};
}

}  // namespace gamut::kernels
