// What "pattern": {"String": …} or {"Regex": …} says: where a text matches.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/config.h"

namespace gamut {

// A compiled pattern; safe to use from many threads at once.
class Pattern {
 public:
  // Regular expressions are in the syntax of Oniguruma, which tokenizer.json uses, and run on PCRE2's compiler. Error, naming
  // the key, for one that is not valid or uses what PCRE2 cannot do.
  static Pattern take(Config& cfg, const std::string& key);
  static Pattern regex(const std::string& expression);
  static Pattern literal(std::string text);

  // Calls use(begin, end, matched) for every match and every stretch between matches; together they are the text. A regular
  // expression sees only text that is UTF-8: bytes that are not match nothing and end what is before them.
  template <class Use> void cut(std::string_view text, Use&& use) const {
    size_t done = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = searchable_end(text, begin);
      const std::string_view part = text.substr(begin, end - begin);
      Match match;
      for (size_t from = 0; from <= part.size() && find(part, from, match);) {
        const size_t first = begin + match.begin, last = begin + match.end;
        from = last > first ? match.end : match.end < part.size() ? next_character(part, match.end) : part.size() + 1;
        if (first == last && first == done) continue;  // empty, where the text is cut already
        if (first > done) use(done, first, false);
        if (last > first) use(first, last, true);
        done = last;
      }
      begin = end + 1;  // over a byte that is not UTF-8
    }
    if (done < text.size()) use(done, text.size(), false);
  }

  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;  // null: literal
  std::string literal_;

  struct Match {
    size_t begin = 0, end = 0;
  };
  bool find(std::string_view text, size_t from, Match& match) const;  // the first match at or after `from`
  size_t searchable_end(std::string_view text, size_t begin) const;
  static size_t next_character(std::string_view text, size_t at);
};

// The same expression for PCRE2: sets within sets are joined, \s \w \d \h and Unicode properties mean what Oniguruma and its
// newer Unicode say. An Error says why when it cannot be said.
std::string pcre2_expression(std::string_view oniguruma);

}  // namespace gamut
