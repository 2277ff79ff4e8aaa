#include <charconv>
#include <optional>

#include "data/tokenizers/decoders/decoder.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {
namespace {

std::optional<char> byte_of(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

// A run of byte tokens <0x0A> is the text of its bytes, or one U+FFFD for each where that is not UTF-8.
class ByteFallback final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (lossy_utf8(bytes) == bytes) out.push_back(bytes);
      else out.insert(out.end(), bytes.size(), "\xef\xbf\xbd");
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes += *byte;
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
};

}  // namespace

DecoderPtr read_byte_fallback(Config&) { return std::make_unique<ByteFallback>(); }

}  // namespace gamut
