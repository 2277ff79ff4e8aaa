// Mamba's layers in published files: their configuration keys and tensor names, and the models made of nothing else.
#pragma once

#include "families/skeleton.h"
#include "modules/mixers/mixers.h"

namespace gamut {

struct MambaKeys {
  const char *conv, *state, *rank, *expand, *conv_bias, *bias;
  std::string norms;     // of Δ, B and C, as MambaOptions says
  const char* norm_eps;  // ? the key of their epsilon; null: that of the other norms
};
Component take_mamba(Config& cfg, const ModelSpec& spec, const MambaKeys& keys);
// The keys into `config`, or why they cannot express the layer.
std::string write_mamba(const ModelSpec& spec, const Component& mixer, const MambaKeys& keys, Json& config);
void name_mamba(NameMap& map, const std::string& theirs, const std::string& ours);

struct Mamba2Keys {
  const char *heads, *head_dim, *groups, *state, *conv, *expand, *conv_bias, *bias, *chunk;  // no expand: the inner width is that of the heads
  int64_t groups_default, state_default, head_dim_default;  // the last 0: "auto", what expand leaves for each head
  const char* activation = "hidden_act";
  const char* step_min = nullptr;  // the key of the least Δ, by default 0.001; null: time_step_limit says both ends
};
Component take_mamba2(Config& cfg, const ModelSpec& spec, const Mamba2Keys& keys);
std::string write_mamba2(const ModelSpec& spec, const Component& mixer, const Mamba2Keys& keys, Json& config);
void name_mamba2(NameMap& map, const std::string& theirs, const std::string& ours);
// The layers of hybrids, whose keys begin with mamba_, one way or the other.
class Keys;  // families/decoder.h
void mamba2_keys(Keys& k, const ModelSpec& spec, std::optional<Component>& mixer);
void mamba2_keys(Keys& k, const ModelSpec& spec, std::optional<Component>& mixer, const Mamba2Keys& keys);

// Models of Mamba layers alone: Mamba and Falcon Mamba.
ModelSpec read_mamba_model(Config& cfg, const MambaKeys& keys, bool tied);
Family::Written write_mamba_model(const ModelSpec& spec, const MambaKeys& keys, const char* model_type, const char* architecture);
std::vector<StoredTensor> mamba_model_tensors(const Model& model, const TensorNames& present);
bool mamba_model_ignores(const ModelSpec& spec, const std::string& tensor);

// The frame of models whose layers are one recurrent mixer each, under backbone.*: embedding, norms and head. Keys, then names.
ModelSpec read_backbone(Config& cfg, bool tied);
std::string write_backbone(const ModelSpec& spec, const std::string& mixer, Json& config);
void name_backbone(NameMap& map, const ModelSpec& spec, const TensorNames& present);

}  // namespace gamut
