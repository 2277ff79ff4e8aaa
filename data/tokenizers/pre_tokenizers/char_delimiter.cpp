#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

class CharDelimiterSplit final : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(uint32_t delimiter) : delimiter_(delimiter) {}
  void apply(Pieces& pieces) const override {
    split_at_characters(pieces, SplitBehavior::removed, [&](uint32_t code) { return code == delimiter_; });
  }

 private:
  uint32_t delimiter_;
};

}  // namespace

PreTokenizerPtr read_char_delimiter(Config& cfg) {
  const auto delimiter = cfg.take<std::string>("delimiter");
  if (delimiter.empty() || character_at(delimiter, 0).bytes != delimiter.size()) cfg.reject("delimiter", "must be one character");
  return std::make_unique<CharDelimiterSplit>(character_at(delimiter, 0).code);
}

}  // namespace gamut
