// Switch Transformers: T5 with a mixture of experts in some layers, one expert for each token, and a capacity. [Fedus et al. 2022]
#include "families/text_to_text.h"

namespace gamut::family {
namespace {
constexpr TextToTextDialect kDialect{.model_type = "switch_transformers", .architecture = "SwitchTransformersForConditionalGeneration", .width = 768, .layers = 12, .heads = 12, .experts = true};
}

Family switch_transformers() {
  return {"switch_transformers", "T5 with a mixture of experts in some layers: one expert for each token, so many tokens of each sequence; later ones pass by it. [Fedus et al., Switch Transformers, 2022]",
          [](Config& cfg) { return read_text_to_text(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_text_to_text(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return text_to_text_tensors(model, kDialect); }, text_to_text_ignores, complete_text_to_text};
}

}  // namespace gamut::family
