#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

// Removes combining marks; only NFD or NFKD before it makes accents of them.
class StripAccents final : public Normalizer {
 public:
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](uint32_t code, std::string_view bytes) {
      if (code == Character::broken || !is_mark(code)) out += bytes;
    });
    text = std::move(out);
  }
};

}  // namespace

NormalizerPtr read_strip_accents(Config&) { return std::make_unique<StripAccents>(); }

}  // namespace gamut
