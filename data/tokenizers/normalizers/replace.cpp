#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/pattern.h"

namespace gamut {
namespace {

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::string& text) const override { text = pattern_.replace_all(text, content_); }

 private:
  Pattern pattern_;
  std::string content_;
};

}  // namespace

NormalizerPtr read_replace_normalizer(Config& cfg) {
  Pattern pattern = Pattern::take(cfg, "pattern");
  return std::make_unique<Replace>(std::move(pattern), cfg.take<std::string>("content"));
}

}  // namespace gamut
