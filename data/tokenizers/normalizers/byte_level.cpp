#include "data/tokenizers/byte_level.h"

#include "data/tokenizers/normalizers/normalizer.h"

namespace gamut {
namespace {

class ByteLevel final : public Normalizer {
 public:
  void apply(std::string& text) const override { text = text_of_bytes(text); }
};

}  // namespace

NormalizerPtr read_byte_level_normalizer(Config&) { return std::make_unique<ByteLevel>(); }

}  // namespace gamut
