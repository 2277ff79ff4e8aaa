#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

class Lowercase final : public Normalizer {
 public:
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](uint32_t code, std::string_view bytes) {
      if (code == Character::broken) out += bytes;
      else append_lowercase(code, out);
    });
    text = std::move(out);
  }
};

}  // namespace

NormalizerPtr read_lowercase(Config&) { return std::make_unique<Lowercase>(); }

}  // namespace gamut
