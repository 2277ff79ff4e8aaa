#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// Spaces between words; tokens with the prefix join what is before them.
class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_)) token.erase(0, prefix_.size());
        else token.insert(0, " ");
      }
      if (cleanup_) token = without_token_spaces(std::move(token));
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

}  // namespace

DecoderPtr read_word_piece_decoder(Config& cfg) {
  const auto prefix = cfg.take<std::string>("prefix", "##");
  return std::make_unique<WordPieceDecoder>(prefix, cfg.take<bool>("cleanup", true));
}

}  // namespace gamut
