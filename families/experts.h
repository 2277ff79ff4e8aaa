// Mixtures of experts in published models: their configuration keys and tensor names, each said once for reading and writing.
#pragma once

#include "families/skeleton.h"

namespace gamut {

class Keys;  // families/decoder.h

// A mixture of experts as published models tell them apart. What matters to training alone is left out, but for the loss that transformers adds.
struct Experts {
  int64_t count = 8, top_k = 2, hidden = 0, shared_hidden = 0, identity = 0;  // identity: experts that give back their input
  std::string activation = "silu";
  bool gated = true, bias = false, shared_bias = false, shared_gate = false, weigh_input = false, output_bias = false;
  double limit = 0, up_shift = 0;  // of the gated product
  std::string router = "topk";     // or sparsemixer
  std::string score = "softmax", group_score = "max";
  bool normalise = true, linear_bias = false, selection_bias = false;
  double scale = 1, power = 1, epsilon = 1e-20, floor = 0;
  int64_t groups = 1, kept_groups = 1;
  double nearness = 0.01;  // sparsemixer's ε
  double pooled = 0;       // coefficient of the loss that is pooled over layers; it counts a token's choices as one
  bool operator==(const Experts&) const = default;
};
Component component_of(const Experts& experts);
// Or why the component is something else.
struct ExpertsOr {
  std::optional<Experts> experts;
  std::string obstacle;
};
ExpertsOr experts_of(const Component& channel);

// Where the families differ; the numbers are transformers' class defaults. A null name: the family has no such key, and computes what is said here.
struct ExpertDialect {
  const char* count_key = "num_experts";  // num_local_experts is the same key to transformers: both are read, this one is written
  const char *top_k_key = "num_experts_per_tok", *hidden_key = "intermediate_size", *activation_key = "hidden_act";
  int64_t experts = 8, top_k = 2, hidden = 11008;
  const char* balance_key = "router_aux_loss_coef";
  double balance_loss = 0.001;
  const char* normalise_key = nullptr;  // whether gates are divided by their sum
  bool normalise = true;
  const char* scale_key = nullptr;  // of gates; without a key it goes into the last projection
  double scale = 1;
  const char* shared_hidden_key = nullptr;  // units of a shared expert
  int64_t shared_hidden = 0;
  bool shared_gate = false;
  bool gated = true;  // without: `up` is the one matrix into an expert
  const char* activation = "silu";
  const char* router_kind = "topk";
  const char* score = "softmax";
  bool linear_bias = false, selection_bias = false, weigh_input = false, bias = false, output_bias = false;
  const char* limit_key = nullptr;  // of the gated product
  double limit = 0, up_shift = 0;
  int64_t dense_hidden = 0;  // > 0: mlp_only_layers and decoder_sparse_step name layers that are dense, of intermediate_size, by default this

  // Names below a layer, without .weight.
  const char* module = "mlp";  // in files that are written; "mlp" is always read
  const char *router = "gate", *router_selection = "gate.e_score_correction_bias";  // the latter whole
  bool selection_row = false;  // its bias is a matrix of one row
  const char *gate = "gate_proj", *up = "up_proj", *down = "down_proj";
  // One tensor for each expert's projection, or the files that are written have all experts in one: [E, 2I, D] (gate rows first) and [E, D, I]; columns:
  // transposed, [E, D, 2I] and [E, I, D]; columns_by_turns: the same, but gates and ups alternate, with biases, or in blocks of four-bit numbers (not
  // transposed); or flat, [E·I, D] for gate, up, and down transposed.
  enum class Layout { each, fused, columns, columns_by_turns, flat } layout = Layout::each;
  const char *fused_in = "experts.gate_up_proj", *fused_out = "experts.down_proj";
  const char *shared = "shared_expert", *shared_router = "shared_expert_gate";
  bool shared_beside = false;                                              // `shared` is beside `module`, not in it
  const char *shared_in = nullptr, *shared_out = "down_proj";  // ? gate and up in one
};

// The keys of one layer's experts, one way or the other.
void expert_keys(Keys& k, Experts& experts, const ExpertDialect& dialect);
// The same for families that are not plain decoders: reading; writing into `config`, or why the keys cannot express the component.
Component take_experts(Config& cfg, const ExpertDialect& dialect);
std::string write_experts(const Component& channel, const ExpertDialect& dialect, Json& config);
// The tensors of one layer's experts, below `prefix` (model.layers.0.); ours below `ours` (layers.0.channel.).
void name_experts(NameMap& map, const Component& experts, const std::string& ours, const std::string& prefix, const ExpertDialect& dialect, const TensorNames& present);

}  // namespace gamut
