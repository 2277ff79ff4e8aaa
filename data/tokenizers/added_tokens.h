// Tokens that are cut out of the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace gamut {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // … and after it
  bool normalized = false;   // searched for in a second pass, over what the others left
  bool special = false;      // left out of decoded text
};

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens = {});
  const std::vector<AddedToken>& tokens() const { return tokens_; }

  // One stretch of the text: an added token (id ≥ 0), or ordinary text (id −1).
  struct Stretch {
    size_t begin, end;
    int32_t id;
  };
  // Cuts the text: leftmost match first, the longest of those. With as_text, special tokens are not searched for.
  void split(std::string_view text, SpecialTokens specials, std::vector<Stretch>& out) const;
  bool empty() const { return tokens_.empty(); }

 private:
  // Token indices by their first byte, longest content first.
  using Index = std::array<std::vector<uint32_t>, 256>;
  std::vector<AddedToken> tokens_;
  Index plain_, normalized_;
  bool any_plain_ = false, any_normalized_ = false;
  void scan(const Index& index, std::string_view text, size_t begin, size_t end, SpecialTokens specials, std::vector<Stretch>& out) const;
};

}  // namespace gamut
