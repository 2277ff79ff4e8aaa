#include "base/error.h"

#include <utility>

namespace gamut {

Error::Error(Problem problem) : problem_(std::move(problem)) {
  line_ = problem_.who + ": " + problem_.what;
  if (!problem_.where.empty()) line_ += " (" + problem_.where + ")";
  if (!problem_.hint.empty()) line_ += ". Hint: " + problem_.hint;
  // One line whatever the input holds: names from a hostile file may carry line ends and terminal codes.
  for (char& c : line_)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
}

}  // namespace gamut
