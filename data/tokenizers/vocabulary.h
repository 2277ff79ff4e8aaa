// Tokens by id, and ids by token.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace gamut {

class Vocabulary {
 public:
  static constexpr int32_t none = -1;

  struct Entry {
    std::string_view text;  // must outlive the vocabulary
    int32_t id;             // ≥ 0
  };
  // Of two entries with the same text the later counts; of two with the same id, Error naming both.
  explicit Vocabulary(const std::vector<Entry>& entries);

  int32_t find(std::string_view text) const;  // none if it is no token
  int64_t tokens() const { return tokens_; }
  int64_t ids() const { return static_cast<int64_t>(texts_.size()); }  // one more than the highest
  bool has(int32_t id) const { return id >= 0 && id < ids() && texts_[static_cast<size_t>(id)].data() != nullptr; }
  std::string_view text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }

  // find() in two steps, so that many look-ups can wait for memory together.
  uint64_t hash(std::string_view text) const;
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  int32_t find(std::string_view text, uint64_t hash) const;

 private:
  struct Slot {
    uint32_t tag;
    int32_t id = none;
  };
  std::vector<Slot> slots_;
  std::vector<std::string_view> texts_;
  uint64_t mask_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace gamut
