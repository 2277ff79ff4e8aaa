#include "data/tokenizers/vocabulary.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/error.h"
#include "base/hash.h"

namespace gamut {

Vocabulary::Vocabulary(const std::vector<Entry>& entries) : slots_(std::bit_ceil(entries.size() * 2 + 2)), mask_(slots_.size() - 1) {
  int32_t highest = -1;
  for (const Entry& entry : entries) highest = std::max(highest, entry.id);
  if (highest > 4 * static_cast<int64_t>(entries.size()) + 4096)
    throw Error({.who = "tokenizer", .what = "the vocabulary has " + std::to_string(entries.size()) + " tokens but ids up to " + std::to_string(highest)});
  texts_.resize(static_cast<size_t>(highest + 1));
  for (const Entry& entry : entries) {
    std::string_view& place = texts_[static_cast<size_t>(entry.id)];
    if (place.data() != nullptr)
      throw Error({.who = "tokenizer", .what = "the vocabulary gives id " + std::to_string(entry.id) + " to '" + std::string(place) + "' and '" + std::string(entry.text) + "'"});
    place = entry.text.data() ? entry.text : std::string_view("");
    const uint64_t key = hash(entry.text);
    uint64_t at = key & mask_;
    while (slots_[at].id != none && (slots_[at].tag != key >> 32 || texts_[static_cast<size_t>(slots_[at].id)] != entry.text)) at = (at + 1) & mask_;
    if (slots_[at].id == none) ++tokens_;
    slots_[at] = {static_cast<uint32_t>(key >> 32), entry.id};
  }
}

uint64_t Vocabulary::hash(std::string_view text) const { return hash64(text); }

int32_t Vocabulary::find(std::string_view text, uint64_t key) const {
  for (uint64_t at = key & mask_;; at = (at + 1) & mask_) {
    const Slot slot = slots_[at];
    if (slot.id == none) return none;
    if (slot.tag == key >> 32 && texts_[static_cast<size_t>(slot.id)] == text) return slot.id;
  }
}

int32_t Vocabulary::find(std::string_view text) const { return find(text, hash(text)); }

}  // namespace gamut
