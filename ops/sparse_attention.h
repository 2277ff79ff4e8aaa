// Attention of each query over keys chosen for it, and their choice.
#pragma once

#include "ops/attention.h"

namespace gamut::ops {

// For each query the `most` visible keys with the largest Σ_h w_h·ReLU(q_h·k), all when there are no more: int32 [B, T, most], from the first position
// to the last, −1 after the last. q [B, T, H, K]; weight [B, T, H] f32 (f64); keys [B, S, 1, K], of which the first `count` are in use. Query i stands at
// position offset + i. Of equal keys the earlier is taken. A choice has no gradient. [DeepSeek-AI, DeepSeek-V3.2, 2025]
Tensor choose_keys(Tape& tape, const Tensor& q, const Tensor& weight, const Tensor& keys, int64_t count, const Visibility& visibility, int64_t offset,
                   int64_t most);

// softmax(scale·q·k)·v over the keys that `chosen` [B, T, n] names, one for all heads, whose first `value_dim` elements are their value:
// q [B, T, H, K], keys [B, S, 1, K]; result [B, T, H·value_dim].
Tensor sparse_attention(Tape& tape, const Tensor& q, const Tensor& keys, const Tensor& chosen, int64_t value_dim, double scale);

}  // namespace gamut::ops
