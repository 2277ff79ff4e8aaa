// bf16 attention on the block kernels of matrix products: scores, weighted sums and all gradients are products of bf16 with float32 sums;
// probabilities and their gradients are rounded to bf16 between them, sums of probabilities are not.
#pragma once

#include "kernels/attention.h"
#include "kernels/gemm_tile.h"
#include "kernels/simd/attention_layout.h"

namespace gamut::kernels {

// What a tier supplies beside its block kernel: passes over rows of scores. Scores are in units of log₂ once multiplied by `scale`.
// Row r has `columns` numbers at s + r·columns; only columns span_R[r] are touched, of which part_R[r] are visible (multiples of 16 around).
struct ScoreRows {
  int64_t rows, columns;
  float scale;
  const KeyPart *part_R, *span_R;
  float* s;
  bf16* p;               // 2^(scale·s − base), 0 where not visible
};
struct AttentionRows {
  // Raw s becomes scores, `scale` included.
  void (*change)(const ScoreRows&, const ScoreChange&);
  // The running softmax: max_R, which scores may exceed by a few powers of two, is raised where they exceed it by more, p made, factor_R takes older sums to the new base; sum_R16 gathers Σ p in sixteen lanes.
  void (*soften)(const ScoreRows&, float* max_R, float* base_R, float* factor_R, float* sum_R16);
  // p again from lse (log₂) and raw s, and ds = p·(dp − delta), as raw scores feel it, from dp in the layout of s.
  void (*differentiate)(const ScoreRows&, const ScoreChange&, const float* lse_R, const float* delta_R, const float* dp, bf16* ds);
  void (*scale_rows)(int64_t rows, int64_t width, const float* factor_R, float* c);  // width a multiple of 16
  // 1/Σp and the natural log-sum-exp of each row, from where the running softmax ended.
  void (*finish)(int64_t rows, const float* max_R, const float* sum_R16, float* inverse_R, float* lse_R);
  void (*store_row)(int64_t n, const float* from, float factor, bf16* to);
  float (*inner)(int64_t n, const bf16* a, const bf16* b);
};
namespace avx512bf16 {
extern const AttentionRows attention_rows;
}

// kernel: bf16, in place, with pack_transposed.
void attention_forward_tiled(const AttentionForward<bf16>& a, const TileKernel& kernel, const AttentionRows& rows);
void attention_backward_tiled(const AttentionBackward<bf16>& b, const TileKernel& kernel, const AttentionRows& rows);
// Bytes of scratch for both.
int64_t attention_scratch_tiled(int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim, bool biased);

}  // namespace gamut::kernels
