// umT5: mT5 with a bias by distance of its own in every layer. [Chung et al., UniMax, 2023]
#include "families/text_to_text.h"

namespace gamut::family {
namespace {
constexpr TextToTextDialect kDialect{.model_type = "umt5", .architecture = "UMT5ForConditionalGeneration", .vocab = 250112, .hidden = 1024, .layers = 8, .heads = 6, .projection = "gated-gelu",
                                     .own_bias = true};
}

Family umt5() {
  return {"umt5", "mT5 with a bias by distance of its own in every layer. [Chung et al., UniMax, 2023]",
          [](Config& cfg) { return read_text_to_text(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_text_to_text(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return text_to_text_tensors(model, kDialect); }, text_to_text_ignores, complete_text_to_text};
}

}  // namespace gamut::family
