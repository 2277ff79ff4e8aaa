// Mixtures of experts on the shared skeleton: their configuration keys and tensor names.
#pragma once

#include "families/skeleton.h"

namespace gamut {

// Where the families differ; the numbers are transformers' class defaults.
struct ExpertDialect {
  const char* count_key = "num_experts";  // num_local_experts is the same key to transformers: both are read, this one is written
  const char* hidden_key = "intermediate_size";
  int64_t experts = 8, top_k = 2;
  double balance_loss = 0.001;
  bool normalise_key = false;  // norm_topk_prob says whether gates are divided by their sum; else they always are
  const char* module = "mlp";  // of a layer, in files that are written; "mlp" is always read
  const char *gate = "gate_proj", *up = "up_proj", *down = "down_proj";
  bool dense_layers = false;   // mlp_only_layers and decoder_sparse_step name layers that are dense, of intermediate_size
};

// Whole families: every layer a mixture of experts, or a dense gated one where the dialect allows it.
ModelSpec read_sparse(Config& cfg, const Dialect& dialect, const ExpertDialect& experts);
Family::Written write_sparse(const ModelSpec& spec, const Dialect& dialect, const ExpertDialect& experts);
// One tensor for each expert's projection, or fused (experts.gate_up_proj [E, 2I, D], gate rows first, and experts.down_proj [E, D, I]): by what is `present`.
std::vector<StoredTensor> sparse_tensors(const Model& model, const TensorNames& present, const ExpertDialect& experts);

}  // namespace gamut
