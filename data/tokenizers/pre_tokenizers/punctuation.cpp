#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(SplitBehavior behavior) : behavior_(behavior) {}
  void apply(Pieces& pieces) const override { split_at_characters(pieces, behavior_, is_punctuation); }

 private:
  SplitBehavior behavior_;
};

}  // namespace

PreTokenizerPtr read_punctuation(Config& cfg) { return std::make_unique<Punctuation>(take_behavior(cfg, "behavior", "Isolated")); }

}  // namespace gamut
