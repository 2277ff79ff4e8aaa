#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

class Digits final : public PreTokenizer {
 public:
  explicit Digits(bool individual) : behavior_(individual ? SplitBehavior::isolated : SplitBehavior::contiguous) {}
  void apply(Pieces& pieces) const override { split_at_characters(pieces, behavior_, is_numeric); }

 private:
  SplitBehavior behavior_;
};

}  // namespace

PreTokenizerPtr read_digits(Config& cfg) { return std::make_unique<Digits>(cfg.take<bool>("individual_digits", false)); }

}  // namespace gamut
