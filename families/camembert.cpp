// CamemBERT: RoBERTa of French, with the same names. [Martin et al. 2020]
#include "families/encoder_layers.h"

namespace gamut::family {
namespace {
constexpr EncoderDialect kDialect = roberta_dialect("camembert", "Camembert", 30522);
}

Family camembert() { return encoder_family<kDialect>("RoBERTa's layers trained on French. [Martin et al., CamemBERT, 2020]"); }

}  // namespace gamut::family
