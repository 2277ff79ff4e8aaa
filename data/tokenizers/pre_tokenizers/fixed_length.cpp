#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

// Pieces of so many characters.
class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}
  void apply(Pieces& pieces) const override {
    pieces.split([&](std::string_view piece, const auto& keep) {
      size_t begin = 0;
      int64_t characters = 0;
      for (size_t at = 0; at < piece.size();) {
        at += character_at(piece, at).bytes;
        if (++characters < length_ && at < piece.size()) continue;
        keep(begin, at);
        begin = at;
        characters = 0;
      }
    });
  }

 private:
  int64_t length_;
};

}  // namespace

PreTokenizerPtr read_fixed_length(Config& cfg) { return std::make_unique<FixedLength>(cfg.take_in<int64_t>("length", 5, 1, int64_t{1} << 40)); }

}  // namespace gamut
