#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {
namespace {

// [CLS] A [SEP], with a second text B [SEP] of type 1.
class BertProcessing final : public PostProcessor {
 public:
  BertProcessing(int32_t separator, int32_t classifier) : separator_(separator), classifier_(classifier) {}
  FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override {
    FramedIds out;
    out.add(classifier_, 0);
    out.add(first, 0);
    out.add(separator_, 0);
    if (second) {
      out.add(*second, 1);
      out.add(separator_, 1);
    }
    return out;
  }

 private:
  int32_t separator_, classifier_;
};

}  // namespace

PostProcessorPtr read_bert_processing(Config& cfg) {
  const int32_t separator = take_token_and_id(cfg, "sep");
  return std::make_unique<BertProcessing>(separator, take_token_and_id(cfg, "cls"));
}

}  // namespace gamut
