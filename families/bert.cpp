// BERT: an encoder with learned positions and token types, for masked words, pairs of texts, classes, or bare. [Devlin et al. 2019]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect{.model_type = "bert", .prefix = "Bert", .root = "bert.", .vocab = 30522, .transform = "cls.predictions.transform.dense",
                                  .transform_norm = "cls.predictions.transform.LayerNorm", .bias = "cls.predictions.bias", .decoder = "cls.predictions.decoder",
                                  .pooler = "bert.pooler.dense", .classifier = "classifier", .pairs = "cls.seq_relationship"};
}

Family bert() {
  return encoder_family<kDialect>(
      "An encoder that sees both ways, LayerNorm after each block, learned positions and token types; heads for masked words, pairs of texts or classes. [Devlin et al., BERT, 2019]");
}

}  // namespace gamut::family
