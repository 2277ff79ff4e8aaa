#include "data/stream.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/rng.h"

namespace gamut {
namespace {

void check_length(int64_t length) {
  if (length < 1) throw Error({.who = "data", .what = "a window of " + std::to_string(length) + " tokens", .hint = "the length is at least 1"});
}

int64_t windows_of(const TokenShard& shard, int64_t length) { return std::max<int64_t>(0, (shard.tokens() - 1) / length); }

// Splits a window of T+1 tokens into inputs and targets.
void fill_row(const TokenShard& shard, int64_t first, int64_t length, int32_t* inputs, int32_t* targets) {
  shard.read(first, {inputs, static_cast<size_t>(length)});
  shard.read(first + 1, {targets, static_cast<size_t>(length)});
}

}  // namespace

TokenStream::TokenStream(std::vector<std::shared_ptr<const TokenShard>> shards, int64_t length, uint64_t seed, int64_t limit)
    : shards_(std::move(shards)), length_(length), seed_(seed) {
  check_length(length);
  if (shards_.empty()) throw Error({.who = "data", .what = "no training text"});
  for (const auto& shard : shards_) {
    if (shard->tokenizer_hash() != shards_[0]->tokenizer_hash())
      throw Error({.who = "data", .what = "made with another tokenizer than " + shards_[0]->path().string(), .where = shard->path().string()});
    const int64_t count = windows_of(*shard, length);
    if (count == 0)
      throw Error({.who = "data", .what = std::to_string(shard->tokens()) + " tokens are fewer than one window of " + std::to_string(length + 1),
                   .where = shard->path().string(), .hint = "use a shorter sequence or more text"});
    first_window_.push_back(windows_);
    windows_ += count;
  }
  first_window_.push_back(windows_);
  if (limit > 0) windows_ = std::min(windows_, limit);
}

Batch TokenStream::next(int64_t rows) {
  Batch batch = at(position_, rows);
  position_ += rows;
  return batch;
}

Batch TokenStream::at(int64_t position, int64_t rows) const {
  if (position < 0 || rows < 0) throw Error({.who = "data", .what = "position " + std::to_string(position) + " in the training stream"});
  Batch batch{.rows = rows, .length = length_};
  batch.inputs.resize(static_cast<size_t>(rows * length_));
  batch.targets.resize(batch.inputs.size());
  batch.domains.resize(static_cast<size_t>(rows));
  int64_t epoch = -1;
  std::optional<Permutation> order;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t place = position + row;
    if (place / windows_ != epoch) {
      epoch = place / windows_;
      order.emplace(static_cast<uint64_t>(windows_), RandomStream(seed_, "data", "epoch " + std::to_string(epoch)));
    }
    const auto chosen = static_cast<int64_t>((*order)(static_cast<uint64_t>(place % windows_)));
    const int64_t window = chosen * first_window_.back() / windows_;  // of all
    const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), window);
    const auto domain = static_cast<size_t>(after - first_window_.begin() - 1);
    batch.domains[static_cast<size_t>(row)] = static_cast<int32_t>(domain);
    fill_row(*shards_[domain], (window - first_window_[domain]) * length_, length_, &batch.inputs[static_cast<size_t>(row * length_)],
             &batch.targets[static_cast<size_t>(row * length_)]);
  }
  return batch;
}

ValidationSet::ValidationSet(std::shared_ptr<const TokenShard> shard, const Tokenizer& tokenizer, int64_t length, int64_t limit_bytes)
    : shard_(std::move(shard)), length_(length) {
  check_length(length);
  if (shard_->tokenizer_hash() != tokenizer.hash())
    throw Error({.who = "data", .what = "validation text was made with another tokenizer", .where = shard_->path().string()});
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) token_bytes_.push_back(tokenizer.token_bytes(id));
  const int64_t all = windows_of(*shard_, length);
  if (all == 0)
    throw Error({.who = "data", .what = "validation text of " + std::to_string(shard_->tokens()) + " tokens is shorter than one window of " +
                                        std::to_string(length + 1), .where = shard_->path().string(), .hint = "use a shorter sequence or more text"});
  int64_t taken = all;
  if (limit_bytes > 0 && limit_bytes < shard_->text_bytes())
    taken = std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(limit_bytes) / static_cast<double>(shard_->text_bytes()) * static_cast<double>(all)), 1, all);
  for (int64_t i = 0; i < taken; ++i) starts_.push_back(i * all / taken * length);
  std::vector<int32_t> targets(static_cast<size_t>(length));
  for (const int64_t start : starts_) {
    shard_->read(start + 1, targets);
    for (const int32_t id : targets) bytes_ += token_bytes_[static_cast<size_t>(id)];
  }
}

Batch ValidationSet::batch(int64_t first_window, int64_t rows) const {
  rows = std::clamp<int64_t>(windows() - first_window, 0, rows);
  Batch batch{.rows = rows, .length = length_};
  batch.inputs.resize(static_cast<size_t>(rows * length_));
  batch.targets.resize(batch.inputs.size());
  batch.target_bytes.resize(batch.inputs.size());
  batch.domains.assign(static_cast<size_t>(rows), 0);
  for (int64_t row = 0; row < rows; ++row) {
    const auto at = static_cast<size_t>(row * length_);
    fill_row(*shard_, starts_[static_cast<size_t>(first_window + row)], length_, &batch.inputs[at], &batch.targets[at]);
  }
  for (size_t i = 0; i < batch.targets.size(); ++i) batch.target_bytes[i] = token_bytes_[static_cast<size_t>(batch.targets[i])];
  return batch;
}

}  // namespace gamut
