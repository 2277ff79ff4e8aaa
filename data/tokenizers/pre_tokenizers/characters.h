// Splitters that look at one character at a time.
#pragma once

#include "data/tokenizers/pre_tokenizers/behavior.h"
#include "data/tokenizers/pre_tokenizers/pre_tokenizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {

// Every character for which `matches` is a match of its own; what lies between stays together.
template <class Matches> void split_at_characters(Pieces& pieces, SplitBehavior behavior, const Matches& matches) {
  std::vector<Stretch> stretches;
  pieces.split([&](std::string_view piece, const auto& keep) {
    stretches.clear();
    for (size_t at = 0; at < piece.size();) {
      const Character c = character_at(piece, at);
      const bool matched = c.code != Character::broken && matches(c.code);
      if (!matched && !stretches.empty() && !stretches.back().matched) stretches.back().end += c.bytes;
      else stretches.push_back({at, at + c.bytes, matched});
      at += c.bytes;
    }
    keep_stretches(behavior, stretches, keep);
  });
}

}  // namespace gamut
