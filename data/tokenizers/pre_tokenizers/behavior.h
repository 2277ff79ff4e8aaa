// What becomes of the matches of a splitter's pattern.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"

namespace gamut {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// `key` as tokenizer.json spells it: "Isolated" …
SplitBehavior take_behavior(Config& cfg, const std::string& key, const char* fallback);

// A stretch of a piece: a match of the pattern, or what lies between two.
struct Stretch {
  size_t begin, end;
  bool matched;
};

// Calls keep(begin, end) for each piece the stretches make. `stretches` may be changed.
template <class Keep> void keep_stretches(SplitBehavior behavior, std::vector<Stretch>& stretches, Keep&& keep) {
  const size_t n = stretches.size();
  const auto matched = [&](size_t i) { return i < n && stretches[i].matched; };
  for (size_t i = 0; i < n; ++i) {
    size_t last = i;  // the piece holds stretches i … last
    switch (behavior) {
      case SplitBehavior::removed:
        if (stretches[i].matched) continue;
        break;
      case SplitBehavior::isolated: break;
      case SplitBehavior::contiguous:
        while (last + 1 < n && stretches[last + 1].matched == stretches[i].matched) ++last;
        break;
      case SplitBehavior::merged_with_previous:  // a match joins what is before it, unless that is a match too
        if (!matched(i) && matched(i + 1)) ++last;
        break;
      case SplitBehavior::merged_with_next:
        if (matched(i) && i + 1 < n && !matched(i + 1)) ++last;
        break;
    }
    keep(stretches[i].begin, stretches[last].end);
    i = last;
  }
}

}  // namespace gamut
