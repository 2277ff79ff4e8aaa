#include "data/tokenizers/normalizers/normalizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

// White space at the ends.
class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(std::string& text) const override {
    size_t begin = 0, end = text.size();
    for (Character c; right_ && end > 0 && is_space((c = character_before(text, end)).code);) end -= c.bytes;
    for (Character c; left_ && begin < end && is_space((c = character_at(text, begin)).code);) begin += c.bytes;
    text = text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

}  // namespace

NormalizerPtr read_strip_normalizer(Config& cfg) {
  const bool left = cfg.take<bool>("strip_left", true), right = cfg.take<bool>("strip_right", true);
  return std::make_unique<Strip>(left, right);
}

}  // namespace gamut
