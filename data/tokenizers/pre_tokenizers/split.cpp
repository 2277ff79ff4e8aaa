#include "data/tokenizers/pattern.h"
#include "data/tokenizers/pre_tokenizers/behavior.h"
#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"

namespace gamut {
namespace {

class Split final : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert) : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces) const override {
    if (behavior_ == SplitBehavior::isolated) {  // matched or not is all the same
      pieces.split([&](std::string_view piece, const auto& keep) { pattern_.cut(piece, [&](size_t begin, size_t end, bool) { keep(begin, end); }); });
      return;
    }
    std::vector<Stretch> stretches;
    pieces.split([&](std::string_view piece, const auto& keep) {
      stretches.clear();
      pattern_.cut(piece, [&](size_t begin, size_t end, bool matched) { stretches.push_back({begin, end, matched != invert_}); });
      keep_stretches(behavior_, stretches, keep);
    });
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

}  // namespace

PreTokenizerPtr read_split(Config& cfg) {
  Pattern pattern = Pattern::take(cfg, "pattern");
  const SplitBehavior behavior = take_behavior(cfg, "behavior", "Isolated");
  return std::make_unique<Split>(std::move(pattern), behavior, cfg.take<bool>("invert", false));
}

}  // namespace gamut
