// mBART: BART with norms before each part and one more after each stack. [Liu et al. 2020]
#include "families/bart_layers.h"

namespace gamut::family {
namespace {
constexpr BartDialect kDialect{.model_type = "mbart", .architecture = "MBartForConditionalGeneration", .placement = NormPlacement::pre};
}

Family mbart() {
  return {"mbart", "BART with LayerNorm before each part and after each stack. [Liu et al., mBART, 2020]",
          [](Config& cfg) { return read_bart(cfg, kDialect); },
          [](const ModelSpec& spec) { return write_bart(spec, kDialect); },
          [](const Model& model, const TensorNames&) { return bart_tensors(model, kDialect); }, bart_ignores};
}

}  // namespace gamut::family
