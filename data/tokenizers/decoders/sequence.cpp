#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<DecoderPtr> parts) : parts_(std::move(parts)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (const DecoderPtr& part : parts_) part->apply(tokens);
  }

 private:
  std::vector<DecoderPtr> parts_;
};

}  // namespace

DecoderPtr read_decoders(Config& cfg) {
  std::vector<DecoderPtr> parts;
  for (Config& part : take_objects(cfg, "decoders")) parts.push_back(read_decoder(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace gamut
