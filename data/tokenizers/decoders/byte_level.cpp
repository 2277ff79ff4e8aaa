#include "data/tokenizers/byte_level.h"

#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

class ByteLevel final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = bytes_of_text(token);
  }
};

}  // namespace

DecoderPtr read_byte_level_decoder(Config& cfg) {
  for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) cfg.ignore(key, "only encoding has these");
  return std::make_unique<ByteLevel>();
}

}  // namespace gamut
