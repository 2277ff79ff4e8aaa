#include "data/tokenizers/decoders/decoder.h"

namespace gamut {

DecoderPtr read_decoder(Config& cfg) {
  static constexpr PartKind<Decoder> kinds[] = {
      {"Sequence", read_decoders},
      {"ByteLevel", read_byte_level_decoder},
      {"Metaspace", read_metaspace_decoder},
      {"WordPiece", read_word_piece_decoder},
      {"ByteFallback", read_byte_fallback},
      {"Fuse", read_fuse},
      {"Strip", read_strip_decoder},
      {"Replace", read_replace_decoder},
      {"BPEDecoder", read_bpe_decoder},
      {"CTC", read_ctc},
  };
  return read_part<Decoder>(cfg, kinds);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  if (from.empty()) return std::string(text);
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos; at = found + from.size()) out.append(text, at, found - at).append(to);
  return out.append(text, at);
}

std::string without_token_spaces(std::string text) {
  static constexpr std::pair<const char*, const char*> kRules[] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
                                                                   {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  if (text.find(' ') == std::string::npos) return text;
  for (const auto& [from, to] : kRules) text = replaced(text, from, to);
  return text;
}

}  // namespace gamut
