// mT5: T5 1.1 over a hundred languages. [Xue et al. 2021]
#include "families/text_to_text.h"

namespace gamut::family {
namespace {
constexpr TextToTextDialect kDialect{.model_type = "mt5", .architecture = "MT5ForConditionalGeneration", .vocab = 250112, .hidden = 1024, .layers = 8, .heads = 6, .projection = "gated-gelu",
                                     .scale = TextToTextDialect::Scale::never};
}

Family mt5() {
  return {"mt5", "T5 1.1 over a hundred languages; the head is never scaled. [Xue et al., mT5, 2021]",
          [](Config& cfg) { return read_text_to_text(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_text_to_text(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return text_to_text_tensors(model, kDialect); }, text_to_text_ignores, complete_text_to_text};
}

}  // namespace gamut::family
