// How byte-level vocabularies of GGUF files cut text into words: tokenizer.ggml.pre names it.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace gamut {

struct GgufPreTokenizer {
  std::string names;  // that files use, separated by spaces
  std::vector<Json> parts;  // of tokenizer.json's pre_tokenizer, as the first model with it was published
  bool nfc = false, ignore_merges = false;
  bool bos = false;  // added when tokenizer.ggml.add_bos_token does not say
};
const std::vector<GgufPreTokenizer>& gguf_pre_tokenizers();  // the first is GPT-2's

}  // namespace gamut
