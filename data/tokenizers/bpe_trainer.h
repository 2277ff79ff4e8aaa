// Learns a byte-level BPE vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {

inline constexpr const char* kEndOfText = "<|endoftext|>";

struct BpeTraining {
  int64_t vocab_size = 2048;                                // special tokens and the 256 bytes included
  int64_t min_frequency = 0;                                // a pair seen less often is not merged
  std::vector<std::string> special_tokens = {kEndOfText};   // ids 0, 1, …; the first is both bos and eos
};

// The same tokenizer as Hugging Face's BpeTrainer with the ByteLevel pre-tokenizer (no prefix space) and alphabet: special
// tokens, then the bytes in order of their characters, then the merges. The most frequent pair is merged first; of equally
// frequent ones the pair with the smaller left id, then the smaller right id. The result does not depend on threads.
// Fewer tokens come out when the texts have no more pairs to merge. Error for a vocabulary too small or too large (2^24).
std::shared_ptr<const Tokenizer> train_bpe(std::span<const std::string_view> texts, const BpeTraining& options, ThreadPool& pool);

}  // namespace gamut
