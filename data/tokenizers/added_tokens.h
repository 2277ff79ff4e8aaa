// Tokens that are cut out of the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace gamut {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // … and after it
  bool normalized = false;   // searched for in normalised text, in its own normalised form
  bool special = false;      // left out of decoded text
};

// Where some of the added tokens stand in a text.
class TokenFinder {
 public:
  // patterns[i] is what tokens[i] looks like in the text; empty ones are never found.
  TokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns);

  // One stretch of the text: an added token (id ≥ 0), or ordinary text (id −1).
  struct Stretch {
    size_t begin, end;
    int32_t id;
  };
  // Cuts the text: leftmost match first, the longest of those. With as_text, special tokens are passed over.
  void split(std::string_view text, SpecialTokens specials, std::vector<Stretch>& out) const;
  bool empty() const { return by_pattern_.empty(); }

 private:
  std::vector<AddedToken> tokens_;
  std::vector<std::string> patterns_;
  std::unordered_map<std::string_view, uint32_t> by_pattern_;
  std::array<std::vector<uint32_t>, 256> lengths_;  // of the patterns that start with a byte, longest first
  const AddedToken* at(std::string_view text) const;  // the longest token `text` begins with
};

}  // namespace gamut
