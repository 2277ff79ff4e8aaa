#include "data/tokenizers/added_tokens.h"

#include <algorithm>
#include <utility>

#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

bool is_space(uint32_t code) { return class_of(code) == CharacterClass::space; }

bool touches_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word_character(character_before(text, begin).code)) ||
         (end < text.size() && is_word_character(character_at(text, end).code));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].content.empty()) continue;
    (tokens_[i].normalized ? any_normalized_ : any_plain_) = true;
    (tokens_[i].normalized ? normalized_ : plain_)[static_cast<uint8_t>(tokens_[i].content[0])].push_back(i);
  }
  const auto longer = [this](uint32_t a, uint32_t b) { return tokens_[a].content.size() > tokens_[b].content.size(); };
  for (Index* index : {&plain_, &normalized_})
    for (auto& list : *index) std::stable_sort(list.begin(), list.end(), longer);
}

void AddedTokens::split(std::string_view text, SpecialTokens specials, std::vector<Stretch>& out) const {
  out.clear();
  if (text.empty()) return;
  if (!any_plain_) {
    out.push_back({0, text.size(), -1});
  } else {
    scan(plain_, text, 0, text.size(), specials, out);
  }
  if (!any_normalized_) return;
  const std::vector<Stretch> first = std::exchange(out, {});
  for (const Stretch& stretch : first) {
    if (stretch.id >= 0) {
      out.push_back(stretch);
    } else {
      scan(normalized_, text, stretch.begin, stretch.end, specials, out);
    }
  }
}

void AddedTokens::scan(const Index& index, std::string_view whole, size_t begin, size_t end, SpecialTokens specials,
                       std::vector<Stretch>& out) const {
  const std::string_view text = whole.substr(0, end).substr(begin);  // neighbours outside the stretch do not count
  size_t done = 0;                                                   // text before this has been given out
  for (size_t at = 0; at < text.size();) {
    const auto& candidates = index[static_cast<uint8_t>(text[at])];
    const AddedToken* found = nullptr;
    for (const uint32_t i : candidates) {
      if (text.substr(at).starts_with(tokens_[i].content)) {
        found = &tokens_[i];
        break;
      }
    }
    if (!found) {
      ++at;
      continue;
    }
    size_t start = at, stop = at + found->content.size();
    at = stop;
    if (found->special && specials == SpecialTokens::as_text) continue;
    if (found->single_word && touches_word(text, start, stop)) continue;
    if (start < done) continue;  // swallowed by the rstrip of the one before
    if (found->lstrip) {
      while (start > done) {
        const Character c = character_before(text, start);
        if (!is_space(c.code) || start - c.bytes < done) break;
        start -= c.bytes;
      }
    }
    if (found->rstrip) {
      while (stop < text.size() && is_space(character_at(text, stop).code)) stop += character_at(text, stop).bytes;
    }
    if (start > done) out.push_back({begin + done, begin + start, -1});
    out.push_back({begin + start, begin + stop, found->id});
    done = stop;
  }
  if (done < text.size()) out.push_back({begin + done, begin + text.size(), -1});
}

}  // namespace gamut
