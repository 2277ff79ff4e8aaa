#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

// \w+|[^\w\s]+
class Whitespace final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.split([](std::string_view piece, const auto& keep) {
      enum { space, word, sign } before = space;
      size_t begin = 0;
      for (size_t at = 0; at < piece.size();) {
        const Character c = character_at(piece, at);
        const auto now = is_word_character(c.code) ? word : is_space(c.code) ? space : sign;
        if (now != before) {
          if (before != space) keep(begin, at);
          begin = at;
          before = now;
        }
        at += c.bytes;
      }
      if (before != space) keep(begin, piece.size());
    });
  }
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override { split_at_characters(pieces, SplitBehavior::removed, is_space); }
};

}  // namespace

PreTokenizerPtr read_whitespace(Config&) { return std::make_unique<Whitespace>(); }
PreTokenizerPtr read_whitespace_split(Config&) { return std::make_unique<WhitespaceSplit>(); }

}  // namespace gamut
