// Pegasus: norms before each part, fixed positions. [Zhang et al. 2020]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "pegasus",
                               .architecture = "PegasusForConditionalGeneration",
                               .placement = NormPlacement::pre,
                               .embedding_norm = false,
                               .start = 0,
                               .end = 1,
                               .pad = 0,
                               .positions = "sinusoidal"};
}

Family pegasus() {
  return {"pegasus",
          "Encoder-decoder for summaries: LayerNorm before each part and after each stack, fixed sinusoidal positions. [Zhang et al., PEGASUS, 2020]",
          [](Config& cfg) { return read_bart(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); },
          bart_ignores};
}

}  // namespace gamut::family
