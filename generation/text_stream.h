// Tokens to text as they arrive, never cutting a UTF-8 character.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
  std::vector<int32_t> ids_;  // from the token before the last text given out: decoders look at neighbours
  size_t given_ids_ = 0;      // of ids_, those whose text is out
  std::string given_;         // that text
};

}  // namespace gamut
