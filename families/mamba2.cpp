// Mamba-2: state-space duality layers alone. [Dao & Gu 2024]
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {

constexpr Mamba2Keys kKeys{.heads = "num_heads", .head_dim = "head_dim", .groups = "n_groups", .state = "state_size", .conv = "conv_kernel", .expand = "expand", .conv_bias = "use_conv_bias",
                           .bias = "use_bias", .chunk = "chunk_size", .groups_default = 8, .state_default = 128, .head_dim_default = 64};

ModelSpec read(Config& cfg) {
  ModelSpec spec = read_backbone(cfg, false);
  const Component mixer = take_mamba2(cfg, spec, kKeys);
  if (!cfg.take<bool>("norm_before_gate", false)) cfg.ignore("rms_norm", "always");
  else cfg.reject("norm_before_gate", "asks for the norm before the gate, which this family does not have here");
  cfg.ignore("time_step_rank", "of Mamba-1");
  for (LayerSpec& layer : spec.layers) layer.mixer = mixer;
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  Json config;
  if (const std::string why = write_backbone(spec, "mamba2", config); !why.empty()) return {{}, why};
  if (const std::string why = write_mamba2(spec, spec.layers[0].mixer, kKeys, config); !why.empty()) return {{}, why};
  config.update({{"model_type", "mamba2"}, {"architectures", {"Mamba2ForCausalLM"}}});
  return {config, ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  name_backbone(map, model.spec(), present);
  for (size_t i = 0; i < model.spec().layers.size(); ++i) name_mamba2(map, "backbone.layers." + std::to_string(i) + ".mixer.", "layers." + std::to_string(i) + ".mixer.");
  return map.take();
}

}  // namespace

Family mamba2() {
  return {"mamba2", "State-space duality layers and nothing else: one decay per head, chunks as products of matrices. [Dao & Gu, Transformers are SSMs, 2024]", read, write, tensors, mamba_model_ignores};
}

}  // namespace gamut::family
