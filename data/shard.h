// A file of token ids: a header, the ids, and where documents begin. Memory-mapped, checksummed, never changed once written.
//
//   "GAMUTTOK", u32 version, u32 bytes per id (2 or 4), u64 tokens, u64 documents, u64 text bytes, u64 vocabulary size,
//   32 characters tokenizer hash, u64 checksum of the rest of the file, u64 checksum of the header so far;
//   ids, padded to 8 bytes; u64 first token of each document, and their end; u64 text bytes of each document.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/io.h"

namespace gamut {

class TokenShard {
 public:
  // Checks header, sizes, ids in range and checksum; an Error names what does not fit.
  explicit TokenShard(const std::filesystem::path& path);

  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  int64_t text_bytes() const { return text_bytes_; }  // bytes of text all tokens stand for
  int64_t vocab_size() const { return vocab_size_; }
  const std::string& tokenizer_hash() const { return tokenizer_hash_; }
  uint64_t checksum() const { return checksum_; }
  const std::filesystem::path& path() const { return path_; }

  // Copies ids [first, first + out.size()) to `out`.
  void read(int64_t first, std::span<int32_t> out) const;
  int64_t document_start(int64_t document) const { return static_cast<int64_t>(starts_[static_cast<size_t>(document)]); }
  int64_t document_bytes(int64_t document) const { return static_cast<int64_t>(lengths_[static_cast<size_t>(document)]); }

 private:
  std::filesystem::path path_;
  MappedFile file_;
  int width_ = 2;
  int64_t tokens_ = 0, documents_ = 0, text_bytes_ = 0, vocab_size_ = 0;
  uint64_t checksum_ = 0;
  std::string tokenizer_hash_;
  const std::byte* ids_ = nullptr;
  std::span<const uint64_t> starts_, lengths_;
};

// One document's ids and the bytes of text they stand for.
struct TokenDocument {
  std::vector<int32_t> ids;
  int64_t text_bytes = 0;
};

// Writes a shard, complete or not at all.
void write_token_shard(const std::filesystem::path& path, std::span<const TokenDocument> documents, int64_t vocab_size,
                       const std::string& tokenizer_hash);

}  // namespace gamut
