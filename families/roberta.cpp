// RoBERTa: BERT without pairs of texts; positions start after the padding token's. [Liu et al. 2019]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect = roberta_dialect("roberta", "Roberta", 50265);
}

Family roberta() { return encoder_family<kDialect>("BERT without pairs of texts, trained longer; positions start after the padding token's id. [Liu et al., RoBERTa, 2019]"); }

}  // namespace gamut::family
