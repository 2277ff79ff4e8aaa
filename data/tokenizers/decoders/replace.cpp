#include "data/tokenizers/decoders/decoder.h"
#include "data/tokenizers/pattern.h"

namespace gamut {
namespace {

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = pattern_.replace_all(token, content_);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

}  // namespace

DecoderPtr read_replace_decoder(Config& cfg) {
  Pattern pattern = Pattern::take(cfg, "pattern");
  return std::make_unique<ReplaceDecoder>(std::move(pattern), cfg.take<std::string>("content"));
}

}  // namespace gamut
