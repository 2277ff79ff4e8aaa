// Cuts text into pieces that the model encodes one by one: words, numbers, runs of signs.
#pragma once

#include "data/tokenizers/part.h"
#include "data/tokenizers/pieces.h"

namespace gamut {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};
using PreTokenizerPtr = std::unique_ptr<const PreTokenizer>;

PreTokenizerPtr read_pre_tokenizer(Config& cfg);  // by "type"
PreTokenizerPtr read_pre_tokenizers(Config& cfg);
PreTokenizerPtr read_byte_level_pre_tokenizer(Config& cfg);
PreTokenizerPtr read_split(Config& cfg);
PreTokenizerPtr read_metaspace_pre_tokenizer(Config& cfg);
PreTokenizerPtr read_digits(Config& cfg);
PreTokenizerPtr read_punctuation(Config& cfg);
PreTokenizerPtr read_bert_pre_tokenizer(Config& cfg);
PreTokenizerPtr read_whitespace(Config& cfg);
PreTokenizerPtr read_whitespace_split(Config& cfg);
PreTokenizerPtr read_char_delimiter(Config& cfg);
PreTokenizerPtr read_fixed_length(Config& cfg);

}  // namespace gamut
