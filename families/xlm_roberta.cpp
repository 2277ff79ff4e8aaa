// XLM-R: RoBERTa of a hundred languages, with the same names. [Conneau et al. 2020]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect = roberta_dialect("xlm-roberta", "XLMRoberta", 30522);
}

Family xlm_roberta() { return encoder_family<kDialect>("RoBERTa's layers trained on a hundred languages. [Conneau et al., XLM-R, 2020]"); }

}  // namespace gamut::family
