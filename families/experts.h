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
  const char* router = "gate";
  const char* shared_hidden_key = nullptr;  // ? a gated shared expert of so many units (`shared_expert`, `shared_expert_gate`)
  bool dense_layers = false;   // mlp_only_layers and decoder_sparse_step name layers that are dense, of intermediate_size
};

// One layer's experts: keys, then the same into `config` (or why they cannot express the component), then names.
Component take_experts(Config& cfg, const ExpertDialect& dialect);
std::string write_experts(const Component& channel, const ExpertDialect& dialect, Json& config);
void name_experts(NameMap& map, const Model& model, size_t layer, const ExpertDialect& dialect, const TensorNames& present);

// Whole families: every layer a mixture of experts, or a dense gated one where the dialect allows it.
ModelSpec read_sparse(Config& cfg, const Dialect& dialect, const ExpertDialect& experts);
Family::Written write_sparse(const ModelSpec& spec, const Dialect& dialect, const ExpertDialect& experts);
// One tensor for each expert's projection, or fused (experts.gate_up_proj [E, 2I, D], gate rows first, and experts.down_proj [E, D, I]): by what is `present`.
std::vector<StoredTensor> sparse_tensors(const Model& model, const TensorNames& present, const ExpertDialect& experts, const Dialect& dialect = {"", ""});

}  // namespace gamut
