#include "data/tokenizers/pre_tokenizers/characters.h"

namespace gamut {
namespace {

// The second half of BERT's basic tokenizer: words, and every punctuation mark on its own.
class BertPreTokenizer final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.split([](std::string_view piece, const auto& keep) {
      size_t word = 0;
      for (size_t at = 0; at < piece.size();) {
        const Character c = character_at(piece, at);
        const bool space = is_space(c.code), mark = !space && is_punctuation(c.code);
        if (space || mark) {
          keep(word, at);
          if (mark) keep(at, at + c.bytes);
          word = at + c.bytes;
        }
        at += c.bytes;
      }
      keep(word, piece.size());
    });
  }
};

}  // namespace

PreTokenizerPtr read_bert_pre_tokenizer(Config&) { return std::make_unique<BertPreTokenizer>(); }

}  // namespace gamut
