#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {
namespace {

// <s> A </s>, with a second text </s> B </s>; all of type 0.
class RobertaProcessing final : public PostProcessor {
 public:
  RobertaProcessing(int32_t separator, int32_t classifier) : separator_(separator), classifier_(classifier) {}
  FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override {
    FramedIds out;
    out.add(classifier_, 0);
    out.add(first, 0);
    out.add(separator_, 0);
    if (second) {
      out.add(separator_, 0);
      out.add(*second, 0);
      out.add(separator_, 0);
    }
    return out;
  }

 private:
  int32_t separator_, classifier_;
};

}  // namespace

PostProcessorPtr read_roberta_processing(Config& cfg) {
  const int32_t separator = take_token_and_id(cfg, "sep"), classifier = take_token_and_id(cfg, "cls");
  for (const char* key : {"add_prefix_space", "trim_offsets"}) cfg.ignore(key, "offsets are not computed");
  return std::make_unique<RobertaProcessing>(separator, classifier);
}

}  // namespace gamut
