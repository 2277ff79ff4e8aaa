// The settings that Metaspace as a pre-tokenizer and as a decoder share.
#pragma once

#include <string>

#include "base/config.h"

namespace gamut {

struct Metaspace {
  enum class Prepend { always, first, never };
  std::string replacement;  // one character, stands for a space
  Prepend prepend = Prepend::always;
  bool split = true;
};

Metaspace take_metaspace(Config& cfg);

}  // namespace gamut
