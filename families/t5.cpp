// T5, versions 1.0 (ReLU, tied head) and 1.1 (gated GELU, a head of its own). [Raffel et al. 2020]
#include "families/text_to_text.h"

namespace gamut::family {
namespace {
constexpr TextToTextDialect kDialect{.model_type = "t5", .architecture = "T5ForConditionalGeneration", .scale = TextToTextDialect::Scale::key};
}

Family t5() {
  return {"t5", "Encoder-decoder: RMSNorm before each part, attention without scale with a learnt bias by distance; 1.0 with ReLU and a tied, scaled head, 1.1 with gated GELU. [Raffel et al., T5, 2020]",
          [](Config& cfg) { return read_text_to_text(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_text_to_text(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return text_to_text_tensors(model, kDialect); }, text_to_text_ignores, complete_text_to_text};
}

}  // namespace gamut::family
