#include "modules/mixers/attention.h"
#include "modules/registry.h"

namespace gamut {

const std::vector<Registered<SequenceMixer>>& sequence_mixers() {
  static const std::vector<Registered<SequenceMixer>> rows{
      {"attention",
       "Softmax attention over the visible positions: softmax(q·kᵀ/√K)·v, heads in parallel. kv_heads = heads is multi-head "
       "attention, 1 is multi-query, anything between grouped-query. Options: heads, kv_heads, head_dim, rope, rope_theta, rotary (dimensions "
       "that rotate), rope_interleaved, window (0: unlimited), qk_norm, bias, output_bias. [Vaswani et al. 2017; Ainslie et al. 2023; Su et al. 2021]",
       build_attention},
  };
  return rows;
}

}  // namespace gamut
