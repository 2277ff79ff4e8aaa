// M2M-100 and NLLB: norms before each part, fixed positions behind the padding token. [Fan et al. 2021]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "m2m_100",
                               .architecture = "M2M100ForConditionalGeneration",
                               .placement = NormPlacement::pre,
                               .embedding_norm = false,
                               .activation = "relu",
                               .vocab = 128112,
                               .scaled = true,
                               .positions = "sinusoidal_t2t",
                               .logits_bias = false};
}

Family m2m_100() {
  return {"m2m_100",
          "Translation between many languages: LayerNorm before each part and after each stack, fixed positions. [Fan et al., M2M-100, 2021]",
          [](Config& cfg) { return read_bart(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); },
          bart_ignores};
}

}  // namespace gamut::family
