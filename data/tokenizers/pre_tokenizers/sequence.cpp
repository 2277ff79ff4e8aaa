#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"

namespace gamut {
namespace {

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<PreTokenizerPtr> parts) : parts_(std::move(parts)) {}
  void apply(Pieces& pieces) const override {
    for (const PreTokenizerPtr& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<PreTokenizerPtr> parts_;
};

}  // namespace

PreTokenizerPtr read_pre_tokenizers(Config& cfg) {
  std::vector<PreTokenizerPtr> parts;
  for (Config& part : take_objects(cfg, "pretokenizers")) parts.push_back(read_pre_tokenizer(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace gamut
