// Marian: BART with fixed positions and no norm after the embedding. [Junczys-Dowmunt et al. 2018]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "marian",
                               .architecture = "MarianMTModel",
                               .embedding_norm = false,
                               .start = 58100,
                               .end = 0,
                               .pad = 58100,
                               .vocab = 58101,
                               .positions = "sinusoidal"};
}

Family marian() {
  return {"marian",
          "Translation with LayerNorm after each part and fixed sinusoidal positions, as the first transformer. [Junczys-Dowmunt et al., Marian, 2018; Vaswani "
          "et al. 2017]",
          [](Config& cfg) { return read_bart(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); },
          bart_ignores};
}

}  // namespace gamut::family
