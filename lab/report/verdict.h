// The answer as a list of phrases, so that page and terminal say the same with other ink.
#pragma once

#include <vector>

#include "base/json.h"
#include "lab/report/strings.h"

namespace gamut {

struct Phrase {
  enum Kind { plain, arm, number, interval, unresolved, warning };
  Text text;
  Kind kind = plain;
  int slot = 0;  // of arm and number
};

std::vector<Phrase> verdict_phrases(const Json& study);

}  // namespace gamut
