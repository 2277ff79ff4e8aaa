// From tokens back to text.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizers/part.h"

namespace gamut {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Changes tokens, in order, to texts that joined are the text. They may end within a UTF-8 character.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};
using DecoderPtr = std::unique_ptr<const Decoder>;

DecoderPtr read_decoder(Config& cfg);  // by "type"
DecoderPtr read_decoders(Config& cfg);
DecoderPtr read_byte_level_decoder(Config& cfg);
DecoderPtr read_metaspace_decoder(Config& cfg);
DecoderPtr read_word_piece_decoder(Config& cfg);
DecoderPtr read_byte_fallback(Config& cfg);
DecoderPtr read_fuse(Config& cfg);
DecoderPtr read_strip_decoder(Config& cfg);
DecoderPtr read_replace_decoder(Config& cfg);
DecoderPtr read_bpe_decoder(Config& cfg);
DecoderPtr read_ctc(Config& cfg);

// Replaces `from` everywhere.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);
// Undoes the spaces that splitting put before punctuation and English contractions.
std::string without_token_spaces(std::string text);

}  // namespace gamut
