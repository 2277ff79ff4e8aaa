#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// The suffix that ends words becomes a space, and goes from the last token.
class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = replaced(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

}  // namespace

DecoderPtr read_bpe_decoder(Config& cfg) { return std::make_unique<BpeDecoder>(cfg.take<std::string>("suffix", "</w>")); }

}  // namespace gamut
