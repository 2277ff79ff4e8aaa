// From a recipe's name or a folder of text to a tokenizer and token shards, all cached.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/json.h"
#include "base/threads.h"
#include "data/corpus.h"
#include "data/shard.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {

struct DataOptions {
  std::string recipe = "tiny";       // a name from data/recipes.h; ignored when path is set
  std::filesystem::path path;        // own text: folder or file of .txt, .md, .jsonl; a sub-folder is a domain. Or a prepared dataset
  int64_t vocab_size = 2048;         // of the byte-level BPE trained on an equal-byte mix of the domains
  std::filesystem::path tokenizer;   // use this tokenizer.json (file or folder) instead of training one
  std::filesystem::path cache;       // empty: cache_root()

  static DataOptions take(Config& data);  // from the table [data] of a recipe
};

struct Dataset {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<std::string> domains;                              // sorted; index = domain id everywhere
  std::vector<std::shared_ptr<const TokenShard>> train;          // one per domain
  std::vector<std::shared_ptr<const TokenShard>> validation;     // one per domain
  std::string hash;                                              // of tokenizer and shards: equal hash, equal data
  std::filesystem::path folder;                                  // where the shards, tokenizer.json and manifest.json lie
  // {"recipe", "sources": [{"package", "version", "licence", "domain", …}], "domains": {name: {"train_bytes", "train_tokens",
  //  "train_documents", "validation_bytes", …, "bytes_per_token"}}, "tokenizer": {"vocab_size", "hash"}, "hash"}
  Json manifest;

  int64_t train_tokens() const;
};

// Downloads, cleans, splits, trains the tokenizer and encodes what the cache does not hold yet. Every document starts with the
// eos token. A second call with the same options only opens files. Error when a package cannot be had (naming data.path),
// when text is binary or the corpus is empty or too small.
Dataset prepare_dataset(const DataOptions& options, ThreadPool& pool);

// A folder that holds a prepared dataset, as the cache keeps them and export_dataset writes them.
bool is_dataset(const std::filesystem::path& folder);
// Opens and verifies it: every checksum, that shards and tokenizer belong together, and the manifest's hash of all of them.
Dataset open_dataset(const std::filesystem::path& folder);
// Copies a dataset to a folder that does not exist yet, complete or not at all; opening it there needs no cache.
void export_dataset(const Dataset& dataset, const std::filesystem::path& folder);

// The texts a tokenizer may be trained on: a recipe's training split (validation stays unseen), or all of the user's own text.
std::vector<TextDocument> tokenizer_texts(const DataOptions& options, ThreadPool& pool);

// $GAMUT_CACHE, else $XDG_CACHE_HOME/gamut, else ~/.cache/gamut.
std::filesystem::path cache_root();

}  // namespace gamut
