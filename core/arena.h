// Memory for tensors: one range of addresses, handed out best fit, with a high-water mark.
//
// An arena without backing hands out the same offsets but touches no memory: running a computation on shapes
// alone in such an arena gives the exact peak that the real run will reach.
//
// GAMUT_NAN_FILL=1 fills every block with 0xFF when it is handed out: NaN in any float type, so that an element nobody
// wrote shows in the result.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace gamut {

class Arena {
 public:
  enum class Backing { real, none };
  explicit Arena(Backing backing = Backing::real);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool real() const { return base_ != nullptr; }
  size_t in_use() const { return in_use_; }  // bytes handed out now
  size_t peak() const { return peak_; }      // highest end of any block so far: what becomes resident

  size_t resident() const;                   // bytes the system holds in memory for this arena now; 0 without backing

  size_t take(size_t bytes);  // offset of a 64-byte aligned block; Error when the range is exhausted
  void give(size_t offset, size_t bytes);
  std::byte* at(size_t offset) const { return base_ ? base_ + offset : nullptr; }

 private:
  std::byte* base_ = nullptr;
  size_t reserved_ = 0, end_ = 0, in_use_ = 0, peak_ = 0;
  std::map<size_t, size_t> free_by_offset_;          // offset → bytes, never adjacent
  std::set<std::pair<size_t, size_t>> free_by_size_;  // (bytes, offset)
  [[noreturn]] void exhausted() const;
  void add_free(size_t offset, size_t bytes);
  void remove_free(size_t offset, size_t bytes);
};

}  // namespace gamut
