// Tokens to text as they arrive, never cutting a UTF-8 character.
#pragma once

#include <cstdint>
#include <string>

#include "data/tokenizers/tokenizer.h"

namespace gamut {

class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // The text that is complete with this token; special tokens give none.
  std::string push(int32_t id);
  // What is left: bytes that never became a character, as U+FFFD.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace gamut
