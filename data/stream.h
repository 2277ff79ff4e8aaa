// Batches of training and validation windows cut from token shards.
//
// Order is a pure function of (seed, position): nothing is stored but one integer, and any reader at any position sees the same.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/shard.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {

// B rows of T tokens; targets are the inputs one position on.
struct Batch {
  int64_t rows = 0, length = 0;       // B, T
  std::vector<int32_t> inputs;        // [B, T] token ids
  std::vector<int32_t> targets;       // [B, T] token ids
  std::vector<int32_t> target_bytes;  // [B, T] bytes of text each target stands for (0: special); validation only, else empty
  std::vector<int32_t> domains;       // [B] index of the row's shard
};

// Endless training windows. Shard by shard, tokens are cut into windows of T+1 that overlap by one token, so that every token
// but the shard's first is a target once an epoch. Each epoch shuffles the windows of all shards together with its own key.
class TokenStream {
 public:
  // limit > 0: of all windows only so many, spread evenly, make an epoch.
  // Error when a shard is too short for one window, or shards come from different tokenizers.
  TokenStream(std::vector<std::shared_ptr<const TokenShard>> shards, int64_t length, uint64_t seed, int64_t limit = 0);

  int64_t windows() const { return windows_; }               // an epoch's rows
  int64_t position() const { return position_; }             // rows taken since the start: all there is to save
  void seek(int64_t position) { position_ = position; }
  double epochs() const { return static_cast<double>(position_) / static_cast<double>(windows_); }

  Batch next(int64_t rows);                                  // rows position() … position()+rows−1, and moves on
  Batch at(int64_t position, int64_t rows) const;            // the same without moving

 private:
  std::vector<std::shared_ptr<const TokenShard>> shards_;
  std::vector<int64_t> first_window_;  // of each shard, and the end
  int64_t length_, windows_ = 0, position_ = 0;  // windows_: of an epoch
  uint64_t seed_;
};

// The fixed windows of one domain's held-out text. Bits per byte = Σ nats over targets with bytes > 0 ∕ (bytes() · ln 2).
class ValidationSet {
 public:
  // limit_bytes > 0: only so many windows, spread evenly over the shard, that they hold about that much text.
  ValidationSet(std::shared_ptr<const TokenShard> shard, const Tokenizer& tokenizer, int64_t length, int64_t limit_bytes = 0);

  int64_t windows() const { return static_cast<int64_t>(starts_.size()); }
  int64_t bytes() const { return bytes_; }                    // text bytes of all targets
  Batch batch(int64_t first_window, int64_t rows) const;      // fewer rows at the end; with target_bytes

 private:
  std::shared_ptr<const TokenShard> shard_;
  std::vector<int32_t> token_bytes_;  // [vocabulary]
  std::vector<int64_t> starts_;       // first token of each window
  int64_t length_, bytes_ = 0;
};

}  // namespace gamut
