#include "data/tokenizers/added_tokens.h"

#include <algorithm>

#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

bool touches_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word_character(character_before(text, begin).code)) || (end < text.size() && is_word_character(character_at(text, end).code));
}

}  // namespace

TokenFinder::TokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns) : tokens_(std::move(tokens)), patterns_(patterns) {
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string& pattern = patterns_[i];
    if (pattern.empty() || !by_pattern_.try_emplace(pattern, i).second) continue;
    auto& lengths = lengths_[static_cast<uint8_t>(pattern[0])];
    if (std::find(lengths.begin(), lengths.end(), pattern.size()) == lengths.end()) lengths.push_back(static_cast<uint32_t>(pattern.size()));
  }
  for (auto& lengths : lengths_) std::sort(lengths.begin(), lengths.end(), std::greater<>());
}

const AddedToken* TokenFinder::at(std::string_view text) const {
  for (const uint32_t length : lengths_[static_cast<uint8_t>(text[0])]) {
    if (length > text.size()) continue;
    if (const auto found = by_pattern_.find(text.substr(0, length)); found != by_pattern_.end()) return &tokens_[found->second];
  }
  return nullptr;
}

void TokenFinder::split(std::string_view text, SpecialTokens specials, std::vector<Stretch>& out) const {
  size_t done = 0;  // text before this has been given out
  for (size_t at_byte = 0; at_byte < text.size();) {
    if (lengths_[static_cast<uint8_t>(text[at_byte])].empty()) {
      ++at_byte;
      continue;
    }
    const AddedToken* found = at(text.substr(at_byte));
    if (!found) {
      ++at_byte;
      continue;
    }
    size_t start = at_byte, stop = at_byte + patterns_[static_cast<size_t>(found - tokens_.data())].size();
    at_byte = stop;
    if (found->special && specials == SpecialTokens::as_text) continue;
    if (found->single_word && touches_word(text, start, stop)) continue;
    if (found->lstrip) {
      while (start > done) {
        const Character c = character_before(text, start);
        if (!is_space(c.code) || start - c.bytes < done) break;
        start -= c.bytes;
      }
    }
    start = std::max(start, done);
    if (found->rstrip) {
      while (stop < text.size() && is_space(character_at(text, stop).code)) stop += character_at(text, stop).bytes;
    }
    if (start > done) out.push_back({done, start, -1});
    out.push_back({start, stop, found->id});
    done = std::max(done, stop);
  }
  if (done < text.size()) out.push_back({done, text.size(), -1});
}

}  // namespace gamut
