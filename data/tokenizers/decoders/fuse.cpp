#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// All tokens become one, for what comes after.
class Fuse final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

}  // namespace

DecoderPtr read_fuse(Config&) { return std::make_unique<Fuse>(); }

}  // namespace gamut
