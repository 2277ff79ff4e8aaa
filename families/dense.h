// The dense families on the shared skeleton: llama and mistral.
#pragma once

#include "families/skeleton.h"

namespace gamut {

ModelSpec read_dense(Config& cfg, const SkeletonDefaults& defaults);
// A family has either a sliding window or biases.
Family::Written write_dense(const ModelSpec& spec, const std::string& model_type, const std::string& architecture, bool windowed);
std::vector<StoredTensor> dense_tensors(const Model& model, const TensorNames& present);

}  // namespace gamut
