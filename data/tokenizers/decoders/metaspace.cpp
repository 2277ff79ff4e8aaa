#include "data/tokenizers/metaspace.h"

#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// ▁ becomes a space; in the first token it goes, where encoding put it.
class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(Metaspace about) : about_(std::move(about)) {}
  void apply(std::vector<std::string>& tokens) const override {
    bool first = about_.prepend != Metaspace::Prepend::never;
    for (std::string& token : tokens) {
      token = replaced(token, about_.replacement, first ? "" : " ");
      first = false;
    }
  }

 private:
  Metaspace about_;
};

}  // namespace

DecoderPtr read_metaspace_decoder(Config& cfg) { return std::make_unique<MetaspaceDecoder>(take_metaspace(cfg)); }

}  // namespace gamut
