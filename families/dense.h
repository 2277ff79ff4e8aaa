// Feed-forward layers of the shared skeleton: gate_proj, up_proj, down_proj.
#pragma once

#include "families/skeleton.h"

namespace gamut {

// intermediate_size and hidden_act; with `bias_key` also mlp_bias.
Component take_gated_ffn(Config& cfg, bool bias_key = false);
// The same keys into `config`, or why they cannot express the component.
std::string write_gated_ffn(const Component& channel, bool bias_key, Json& config);
void name_gated_ffn(NameMap& map, size_t layer);

// Whole families whose layers all have one kind of gated feed-forward layer.
ModelSpec read_dense(Config& cfg, const Dialect& dialect, bool bias_key = false);
Family::Written write_dense(const ModelSpec& spec, const Dialect& dialect, bool bias_key = false);
std::vector<StoredTensor> dense_tensors(const Model& model, const TensorNames& present);

}  // namespace gamut
