// What Llama and its kin share: the configuration keys of a pre-norm decoder with rotary attention, and its tensor names.
#pragma once

#include "families/family.h"
#include "kernels/activation.h"
#include "modules/channels/channels.h"
#include "modules/mixers/attention.h"
#include "modules/mixers/mla.h"

namespace gamut {

// Where the families on this skeleton differ; the numbers are transformers' class defaults.
struct Dialect {
  const char *model_type, *architecture;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: width / heads
  int64_t max_positions = 2048;
  double norm_eps = 1e-6, rope_theta = 10000.0;
  enum class Bias { none, qkv, key } bias = Bias::none;  // key: attention_bias says it for all four projections
  QkNorm qk_norm = QkNorm::none;
  // Which layers have a sliding window: none; all (sliding_window); with use_sliding_window all, or those that layer_types or max_window_layers name.
  enum class Windows { none, all, switched, by_layer } windows = Windows::none;
  int64_t window = 0;
  bool whole_heads = false;  // the width must be a multiple of the heads
  double rotary = 1;         // share of each head that rotates (partial_rotary_factor); 1: the key is not known, unless `partial`
  bool partial = false;
};

// Takes every key of the skeleton and ignores those without influence. The layers' channel mixers are left empty.
ModelSpec read_skeleton(Config& cfg, const Dialect& dialect);
// The activation's name in Gamut for the key `key`.
std::string take_activation(Config& cfg, const char* key = "hidden_act", const char* fallback = "silu");
// rope_theta, rope_scaling, rope_parameters in either style; and the keys of a scaling, null without one.
RopeOptions take_rope_options(Config& cfg, const ModelSpec& spec, const Dialect& dialect, int64_t head_dim);
Json rope_scaling_keys(const RopeScaling& scaling);
// Dtype, tied embeddings, and the keys that say nothing about what is computed.
void take_common(Config& cfg, ModelSpec& spec, bool tied);

// What the spec has beyond a causal decoder with a plain head, which most families are; empty: nothing.
std::string beyond_decoder(const ModelSpec& spec);
// Blocks that do not simply add what they compute.
bool has_shares(const ModelSpec& spec);
// config.json with the skeleton's keys, or why the dialect cannot express the spec. Channel mixers are not looked at.
Family::Written write_skeleton(const ModelSpec& spec, const Dialect& dialect);
// The same for a model trained by masked diffusion: what `write` makes of its causal twin, with mask_token_id.
Family::Written write_diffusion(const ModelSpec& spec, bool shift, Family::Written (*write)(const ModelSpec&));
// hidden_act for an activation; empty when transformers has none.
std::string activation_key(const std::string& activation);
std::string dtype_key(const std::string& dtype);

// A component's options as the component itself reads them, defaults filled in.
template <class Options> Options options_of(const Component& component) {
  Config cfg(component.options, {.source = "model"});
  return Options::take(cfg);
}
AttentionOptions attention_options(const ModelSpec& spec, size_t layer);
MlaOptions mla_options(const ModelSpec& spec, size_t layer);

// The tensors of checkpoints, from the model's parameters.
class NameMap {
 public:
  explicit NameMap(const Model& model);
  bool has(const std::string& parameter) const { return shapes_.contains(parameter); }
  const Shape& shape(const std::string& parameter) const { return shapes_.at(parameter); }
  // A whole parameter under another name.
  void whole(const std::string& name, const std::string& parameter, double factor = 1, double offset = 0);
  // The same in another shape.
  void reshaped(const std::string& name, const std::string& parameter, std::vector<int64_t> shape);
  // Whole parameters one under another, with equal rows; `shape` when it is not that of a matrix or vector.
  void stacked(const std::string& name, const std::vector<std::string>& parameters, std::vector<int64_t> shape = {});
  // The same where the model may lack it.
  void optional(const std::string& name, const std::string& parameter) {
    if (has(parameter)) whole(name, parameter);
  }
  void add(StoredTensor tensor) { tensors_.push_back(std::move(tensor)); }
  // Embedding, attention, norms and head; `<layer>.mlp` is the family's.
  void skeleton(const ModelSpec& spec);
  // self_attn of one layer; skeleton() does it for all that have attention.
  void attention(size_t layer);
  std::vector<StoredTensor> take() { return std::move(tensors_); }

 private:
  std::map<std::string, Shape> shapes_;
  std::vector<StoredTensor> tensors_;
};

// Rotary tables that older files hold, and the head of a model whose head is the embedding.
bool skeleton_ignores(const ModelSpec& spec, const std::string& tensor);

}  // namespace gamut
