#include <algorithm>

#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// Connectionist temporal classification: repeated tokens are one, padding vanishes [Graves et al., 2006].
class Ctc final : public Decoder {
 public:
  Ctc(std::string pad, std::string delimiter, bool cleanup) : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      token = replaced(token, pad_, "");
      if (cleanup_) token = replaced(without_token_spaces(std::move(token)), delimiter_, " ");
    }
    std::erase(tokens, "");
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

}  // namespace

DecoderPtr read_ctc(Config& cfg) {
  const auto pad = cfg.take<std::string>("pad_token", "<pad>"), delimiter = cfg.take<std::string>("word_delimiter_token", "|");
  return std::make_unique<Ctc>(pad, delimiter, cfg.take<bool>("cleanup", true));
}

}  // namespace gamut
