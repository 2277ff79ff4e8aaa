#include "core/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/text.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace gamut {
namespace {

constexpr size_t kAlign = 64;
size_t rounded(size_t bytes) { return std::max(kAlign, (bytes + kAlign - 1) / kAlign * kAlign); }

void mark_usable([[maybe_unused]] std::byte* p, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  if (p) ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#endif
}
void mark_unusable([[maybe_unused]] std::byte* p, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  if (p) ASAN_POISON_MEMORY_REGION(p, bytes);
#endif
}

bool fills_with_nan() {
  static const bool fills = [] {
    const char* text = std::getenv("GAMUT_NAN_FILL");
    return text && std::string_view(text) == "1";
  }();
  return fills;
}

}  // namespace

Arena::Arena(Backing backing) {
  reserved_ = size_t{1} << 46;
  if (backing == Backing::none) return;
  // Only addresses are reserved; pages come as they are touched. Where address space is limited, take less.
  for (reserved_ = size_t{1} << 38; reserved_ >= (size_t{1} << 28); reserved_ /= 2) {
    void* p = ::mmap(nullptr, reserved_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
      base_ = static_cast<std::byte*>(p);
      ::madvise(p, reserved_, MADV_HUGEPAGE);  // products of matrices walk over many pages at once
      return;
    }
  }
  throw Error({.who = "memory", .what = "cannot reserve address space for tensors", .hint = "raise ulimit -v", .exit = Exit::failed});
}

Arena::~Arena() {
  if (!base_) return;
  mark_usable(base_, end_);
  ::munmap(base_, reserved_);
}

size_t Arena::resident() const {
  if (!base_ || end_ == 0) return 0;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> held((end_ + page - 1) / page);
  if (::mincore(base_, held.size() * page, held.data()) != 0) return 0;
  size_t pages = 0;
  for (const unsigned char h : held) pages += h & 1;
  return pages * page;
}

void Arena::add_free(size_t offset, size_t bytes) {
  free_by_offset_.emplace(offset, bytes);
  free_by_size_.emplace(bytes, offset);
}

void Arena::remove_free(size_t offset, size_t bytes) {
  free_by_offset_.erase(offset);
  free_by_size_.erase({bytes, offset});
}

void Arena::exhausted() const {
  throw Error({.who = "memory",
               .what = "tensors need more than the " + human_bytes(static_cast<double>(reserved_)) + " of reserved addresses",
               .hint = "use a smaller batch or model",
               .exit = Exit::failed});
}

size_t Arena::take(size_t bytes) {
  if (bytes > reserved_) exhausted();
  bytes = rounded(bytes);
  size_t offset;
  const auto fit = free_by_size_.lower_bound({bytes, 0});
  if (fit != free_by_size_.end()) {
    const auto [have, at] = *fit;
    remove_free(at, have);
    if (have > bytes) add_free(at + bytes, have - bytes);
    offset = at;
  } else {
    // Grow at the end, using up a free block that touches it.
    const auto last = free_by_offset_.empty() ? free_by_offset_.end() : std::prev(free_by_offset_.end());
    const size_t free_at_end = last != free_by_offset_.end() && last->first + last->second == end_ ? last->second : 0;
    offset = end_ - free_at_end;
    if (bytes > reserved_ - offset) exhausted();
    if (free_at_end) remove_free(offset, free_at_end);
    peak_ = end_ = offset + bytes;
  }
  in_use_ += bytes;
  mark_usable(at(offset), bytes);
  if (base_ && fills_with_nan()) std::memset(at(offset), 0xff, bytes);
  return offset;
}

void Arena::give(size_t offset, size_t bytes) {
  bytes = rounded(bytes);
  in_use_ -= bytes;
  mark_unusable(at(offset), bytes);
  auto next = free_by_offset_.lower_bound(offset);
  if (next != free_by_offset_.end() && offset + bytes == next->first) {
    bytes += next->second;
    remove_free(next->first, next->second);
    next = free_by_offset_.lower_bound(offset);
  }
  if (next != free_by_offset_.begin()) {
    const auto [at, have] = *std::prev(next);
    if (at + have == offset) {
      remove_free(at, have);
      offset = at;
      bytes += have;
    }
  }
  add_free(offset, bytes);
}

}  // namespace gamut
