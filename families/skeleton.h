// What Llama and its kin share: the configuration keys of a pre-norm decoder with rotary attention, and its tensor names.
#pragma once

#include "families/family.h"
#include "kernels/activation.h"
#include "modules/channels/channels.h"
#include "modules/mixers/attention.h"

namespace gamut {

// Where transformers' class defaults differ between families.
struct SkeletonDefaults {
  int64_t kv_heads = 0;  // 0: as many as heads
  double norm_eps = 1e-6, rope_theta = 10000.0;
  int64_t max_positions = 2048;
};

// Takes every key of the skeleton and ignores those without influence. The layers' channel mixers are left empty.
ModelSpec read_skeleton(Config& cfg, const SkeletonDefaults& defaults);
// The activation's name in Gamut for the key hidden_act.
std::string take_activation(Config& cfg);

// Attention as every layer of `spec` has it, or why the skeleton cannot express the spec.
struct Skeleton {
  AttentionOptions attention{};
  std::string obstacle;
};
Skeleton understand_skeleton(const ModelSpec& spec);
// The skeleton's keys of config.json.
Json write_skeleton(const ModelSpec& spec, const AttentionOptions& attention, const std::string& model_type, const std::string& architecture);
// hidden_act for an activation; empty when transformers has none.
std::string activation_key(const std::string& activation);

// A component's options as the component itself reads them, defaults filled in.
template <class Options> Options options_of(const Component& component) {
  Config cfg(component.options, {.source = "model"});
  Options options = Options::take(cfg);
  return options;
}

// The tensors of checkpoints, from the model's parameters.
class NameMap {
 public:
  explicit NameMap(const Model& model);
  bool has(const std::string& parameter) const { return shapes_.contains(parameter); }
  const Shape& shape(const std::string& parameter) const { return shapes_.at(parameter); }
  // A whole parameter under another name.
  void whole(const std::string& name, const std::string& parameter, double factor = 1);
  void add(StoredTensor tensor) { tensors_.push_back(std::move(tensor)); }
  // Embedding, attention, norms and head; `<layer>.mlp` is the family's.
  void skeleton(const ModelSpec& spec);
  std::vector<StoredTensor> take() { return std::move(tensors_); }

 private:
  std::map<std::string, Shape> shapes_;
  std::vector<StoredTensor> tensors_;
};

// Rotary tables that older files hold, and the head of a model whose head is the embedding.
bool skeleton_ignores(const ModelSpec& spec, const std::string& tensor);

}  // namespace gamut
