#include "data/tokenizers/tokenizer.h"

#include <cstring>

#include "base/io.h"
#include "data/tokenizers/gguf.h"
#include "data/tokenizers/pipeline.h"

namespace gamut {
namespace fs = std::filesystem;

std::shared_ptr<const Tokenizer> Tokenizer::load(const fs::path& path) {
  if (is_gguf(path)) {
    const GgufReader file(path);
    TokenizerFiles files = tokenizer_of(file.metadata());
    return from_json(std::move(files.tokenizer), std::move(files.config), path.string());
  }
  const fs::path file = fs::is_directory(path) ? path / "tokenizer.json" : path;
  const fs::path config = file.parent_path() / "tokenizer_config.json";
  return from_json(read_file(file), fs::is_regular_file(config) ? read_file(config) : "", file.string());
}

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string json, std::string config, const std::string& source) {
  return std::make_shared<Pipeline>(read_pipeline(std::move(json), std::move(config), source));
}

std::vector<int32_t> Tokenizer::add_special_tokens(const std::vector<int32_t>& ids) const { return frame(ids).ids; }

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens specials) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 1);
  encode_to(text, ids, specials);
  return ids;
}

std::string lossy_utf8(std::string_view bytes) {
  // The Unicode standard's "maximal subpart" practice (section 3.9): a cut sequence is one U+FFFD, not one for each byte.
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const auto byte = [&](size_t i) { return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u; };
    const unsigned lead = byte(0);
    size_t need = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 9;
    size_t have = 1;
    if (need < 9) {
      const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      if (need > 0 && byte(1) >= low && byte(1) <= high) {
        have = 2;
        while (have <= need && (byte(have) & 0xc0) == 0x80) ++have;
      }
    }
    if (need < 9 && have == need + 1) {
      out.append(bytes.substr(at, have));
    } else {
      out += "\xef\xbf\xbd";
    }
    at += have;
  }
  return out;
}

}  // namespace gamut
