#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"

namespace gamut {

PreTokenizerPtr read_pre_tokenizer(Config& cfg) {
  static constexpr PartKind<PreTokenizer> kinds[] = {
      {"Sequence", read_pre_tokenizers},
      {"ByteLevel", read_byte_level_pre_tokenizer},
      {"Split", read_split},
      {"Metaspace", read_metaspace_pre_tokenizer},
      {"Digits", read_digits},
      {"Punctuation", read_punctuation},
      {"BertPreTokenizer", read_bert_pre_tokenizer},
      {"Whitespace", read_whitespace},
      {"WhitespaceSplit", read_whitespace_split},
      {"CharDelimiterSplit", read_char_delimiter},
      {"Delimiter", read_char_delimiter},
      {"FixedLength", read_fixed_length},
  };
  return read_part<PreTokenizer>(cfg, kinds);
}

}  // namespace gamut
