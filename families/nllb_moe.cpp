// NLLB-MoE: M2M-100 with a mixture of experts in every n-th layer, whose capacity counts the tokens of a call. [NLLB Team 2022]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "nllb-moe",
                               .architecture = "NllbMoeForConditionalGeneration",
                               .placement = NormPlacement::pre,
                               .embedding_norm = false,
                               .activation = "relu",
                               .vocab = 128112,
                               .scaled = true,
                               .positions = "sinusoidal_t2t",
                               .logits_bias = false,
                               .sparse = true,
                               .cross = "cross_attention",
                               .ffn = "ffn.",
                               .channel_norm = "ff_layer_norm"};
}

Family nllb_moe() {
  return {
      "nllb-moe",
      "M2M-100 with two of many experts for each token in every n-th layer; what goes beyond a capacity is dropped. [NLLB Team, No language left behind, 2022]",
      [](Config& cfg) { return read_bart(cfg, kDialect); },
      [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
      [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); },
      bart_ignores};
}

}  // namespace gamut::family
