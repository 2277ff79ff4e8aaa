#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

// SentencePiece's "nmt" rules: control characters go, odd spaces become plain ones.
class Nmt final : public Normalizer {
 public:
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](uint32_t code, std::string_view bytes) {
      if (removed(code)) return;
      out += is_odd_space(code) ? " " : bytes;
    });
    text = std::move(out);
  }

 private:
  static bool removed(uint32_t c) { return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f; }
  static bool is_odd_space(uint32_t c) {
    return c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
  }
};

}  // namespace

NormalizerPtr read_nmt(Config&) { return std::make_unique<Nmt>(); }

}  // namespace gamut
