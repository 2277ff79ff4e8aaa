// RoBERTa: BERT without pairs of texts; positions start after the padding token's. [Liu et al. 2019]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect{.model_type = "roberta", .prefix = "Roberta", .root = "roberta.", .vocab = 50265, .positions_after_padding = true, .head_activation = "gelu",
                                  .transform = "lm_head.dense", .transform_norm = "lm_head.layer_norm", .bias = "lm_head.bias", .decoder = "lm_head.decoder",
                                  .pooler = "classifier.dense", .classifier = "classifier.out_proj"};
}

Family roberta() {
  return {
      "roberta", "BERT without pairs of texts, trained longer; positions start after the padding token's id. [Liu et al., RoBERTa, 2019]",
      [](Config& cfg) { return read_encoder(cfg, kDialect); },
      [](const ModelSpec& spec) { return write_encoder(spec, kDialect); },
      [](const Model& model, const TensorNames& present) { return encoder_tensors(model, present, kDialect); },
      [](const ModelSpec&, const std::string& tensor) { return encoder_ignores(tensor, kDialect); }};
}

}  // namespace gamut::family
