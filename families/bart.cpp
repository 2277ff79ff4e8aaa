// BART: norms after each part and after the embedding. [Lewis et al. 2020]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "bart", .architecture = "BartForConditionalGeneration"};
}

Family bart() {
  return {"bart", "Encoder-decoder: LayerNorm after each part and after the embedding, learned positions, one embedding for both stacks and the head, whose bias is fixed. [Lewis et al., BART, 2020]",
          [](Config& cfg) { return read_bart(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); }, bart_ignores};
}

}  // namespace gamut::family
