#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {
namespace {

// One after another; only one of them can add tokens, since what it returns is no longer one text or two.
class Sequence final : public PostProcessor {
 public:
  explicit Sequence(PostProcessorPtr framing) : framing_(std::move(framing)) {}
  FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override { return framing_ ? framing_->apply(first, second) : unframed(first, second); }
  bool frames() const override { return framing_ != nullptr; }

 private:
  PostProcessorPtr framing_;
};

}  // namespace

PostProcessorPtr read_post_processors(Config& cfg) {
  PostProcessorPtr framing;
  for (Config& part : take_objects(cfg, "processors")) {
    PostProcessorPtr processor = read_post_processor(part);
    if (!processor->frames()) continue;
    if (framing) cfg.reject("processors", "two of them add special tokens", "keep one");
    framing = std::move(processor);
  }
  return std::make_unique<Sequence>(std::move(framing));
}

}  // namespace gamut
