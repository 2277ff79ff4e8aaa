// The vocabulary of a GGUF file (tokenizer.ggml.*) written as the two files of a Hugging Face tokenizer, which the pipeline then reads
// like any other: one front end, and what is saved later opens elsewhere.
#pragma once

#include <string>

#include "checkpoints/gguf.h"

namespace gamut {

struct TokenizerFiles {
  std::string tokenizer, config;  // the texts of tokenizer.json and tokenizer_config.json, the chat template in the latter
};

// Kinds: gpt2 (byte-level BPE, cut by the pre-tokenizer that tokenizer.ggml.pre names) and llama (SentencePiece BPE, whose scores order
// the merges). Others are an Error that names the kind, as are a missing or inconsistent array.
TokenizerFiles tokenizer_of(const GgufMetadata& metadata);

}  // namespace gamut
