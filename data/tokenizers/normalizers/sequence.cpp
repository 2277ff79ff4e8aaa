#include "data/tokenizers/normalizers/normalizer.h"

namespace gamut {
namespace {

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}
  void apply(std::string& text) const override {
    for (const NormalizerPtr& part : parts_) part->apply(text);
  }

 private:
  std::vector<NormalizerPtr> parts_;
};

}  // namespace

NormalizerPtr read_normalizers(Config& cfg) {
  std::vector<NormalizerPtr> parts;
  for (Config& part : take_objects(cfg, "normalizers")) parts.push_back(read_normalizer(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace gamut
