// Remembers the ids of short pieces: text repeats its words.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace gamut {

class WordCache {
 public:
  static constexpr size_t kMostBytes = 15;

  // Appends the ids of `piece` (1 to kMostBytes bytes) to `ids`, from memory or through encode(ids).
  template <class Encode> void get(std::string_view piece, std::vector<int32_t>& ids, Encode&& encode) {
    // Padded to 16 bytes with the length at the end, so that an empty slot (0, 0) matches nothing.
    std::array<char, 16> padded{};
    std::memcpy(padded.data(), piece.data(), piece.size());
    padded[15] = static_cast<char>(piece.size());
    uint64_t low, high;
    std::memcpy(&low, padded.data(), 8);
    std::memcpy(&high, padded.data() + 8, 8);
    size_t at = mix(low ^ mix(high)) & (kSlots - 1);
    while (slots_[at].high != 0 && (slots_[at].low != low || slots_[at].high != high)) at = (at + 1) & (kSlots - 1);
    Slot& slot = slots_[at];
    if (slot.high != 0) {
      ids.insert(ids.end(), ids_.begin() + slot.begin, ids_.begin() + slot.begin + slot.count);
      return;
    }
    const size_t first = ids.size();
    encode(ids);
    if (used_ >= kSlots / 2) return clear();  // text changes its words slowly
    ++used_;
    slot = {low, high, static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(ids.size() - first)};
    ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
  }

 private:
  static constexpr size_t kSlots = 1 << 16;
  struct Slot {
    uint64_t low = 0, high = 0;
    uint32_t begin = 0, count = 0;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
  std::vector<int32_t> ids_;
  size_t used_ = 0;

  static uint64_t mix(uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 32;
  }
  void clear() {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    ids_.clear();
    used_ = 0;
  }
};

}  // namespace gamut
