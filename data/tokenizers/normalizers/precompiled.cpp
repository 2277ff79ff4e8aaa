#include <array>
#include <cstring>

#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

std::string decode_base64(const std::string& text, bool& good) {
  std::string out;
  uint32_t bits = 0;
  int have = 0;
  size_t padding = 0;
  for (const char c : text) {
    if (c == '=') {
      ++padding;
      continue;
    }
    const int value = c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
    if (value < 0 || padding > 0) {
      good = false;
      return "";
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((have += 6) >= 8) out.push_back(static_cast<char>(bits >> (have -= 8) & 0xff));
  }
  good = padding <= 2 && text.size() % 4 == 0;
  return out;
}

// SentencePiece's table of replacements: a double-array trie [Aoe, "An Efficient Digital Search Algorithm", 1989] over UTF-8 bytes,
// whose values are offsets of NUL-terminated texts. The peer looks up grapheme clusters under 6 bytes, then single characters, and
// takes the first (shortest) hit for the whole: unlike SentencePiece, which takes the longest match at each position.
class Precompiled final : public Normalizer {
 public:
  Precompiled(std::vector<uint32_t> trie, std::string texts) : trie_(std::move(trie)), texts_(std::move(texts)) {
    for (unsigned byte = 0; byte < 128; ++byte) {
      const char c = static_cast<char>(byte);
      ascii_[byte] = find({&c, 1});
    }
  }

  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80 && byte != '\r' && (at + 1 == text.size() || static_cast<unsigned char>(text[at + 1]) < 0x80)) {
        if (ascii_[byte] == kNone) out.push_back(text[at]);
        else out += &texts_[ascii_[byte]];
        ++at;
        continue;
      }
      const std::string_view grapheme = std::string_view(text).substr(at, grapheme_end(text, at) - at);
      at += grapheme.size();
      if (grapheme.size() < 6) {
        if (const uint32_t found = find(grapheme); found != kNone) {
          out += &texts_[found];
          continue;
        }
      }
      for_each_character(grapheme, [&](uint32_t, std::string_view bytes) {
        const uint32_t found = find(bytes);
        if (found == kNone) out += bytes;
        else out += &texts_[found];
      });
    }
    text = std::move(out);
  }

 private:
  static constexpr uint32_t kNone = ~0u;
  std::vector<uint32_t> trie_;
  std::string texts_;
  std::array<uint32_t, 128> ascii_{};

  // The offset of the text for the shortest key that `text` begins with.
  uint32_t find(std::string_view text) const {
    const auto offset = [](uint32_t unit) -> size_t { return size_t{unit >> 10} << ((unit & 1u << 9) >> 6); };
    if (trie_.empty()) return kNone;
    size_t at = offset(trie_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) return kNone;
      at ^= byte;
      if (at >= trie_.size()) return kNone;
      const uint32_t unit = trie_[at];
      if ((unit & (1u << 31 | 0xff)) != byte) return kNone;
      at ^= offset(unit);
      if (unit >> 8 & 1) {
        if (at >= trie_.size()) return kNone;
        const uint32_t value = trie_[at] & 0x7fffffff;
        return value < texts_.size() ? value : kNone;
      }
    }
    return kNone;
  }
};

}  // namespace

NormalizerPtr read_precompiled(Config& cfg) {
  bool good = true;
  const std::string table = decode_base64(cfg.take<std::string>("precompiled_charsmap", ""), good);
  if (!good) cfg.reject("precompiled_charsmap", "is not base64");
  if (table.empty()) return std::make_unique<Precompiled>(std::vector<uint32_t>(), "");
  uint32_t bytes = 0;
  if (table.size() >= 4) std::memcpy(&bytes, table.data(), 4);
  if (table.size() < 4 || bytes % 4 != 0 || bytes > table.size() - 4) cfg.reject("precompiled_charsmap", "is cut short: its trie does not fit");
  std::vector<uint32_t> trie(bytes / 4);
  if (bytes > 0) std::memcpy(trie.data(), table.data() + 4, bytes);
  return std::make_unique<Precompiled>(std::move(trie), table.substr(4 + bytes));
}

}  // namespace gamut
