// Tokens "<0x00>" … "<0xFF>", which spell characters that have no token.
#pragma once

#include <array>

#include "data/tokenizers/vocabulary.h"

namespace gamut {

class ByteTokens {
 public:
  explicit ByteTokens(const Vocabulary& vocabulary) {
    constexpr char digits[] = "0123456789ABCDEF";
    for (size_t byte = 0; byte < 256; ++byte) {
      const char text[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
      ids_[byte] = vocabulary.find({text, sizeof(text)});
    }
  }
  int32_t operator[](size_t byte) const { return ids_[byte]; }
  // Appends the bytes' ids if all have one.
  bool spell(std::string_view bytes, std::vector<int32_t>& ids) const {
    for (const char byte : bytes)
      if (ids_[static_cast<unsigned char>(byte)] < 0) return false;
    for (const char byte : bytes) ids.push_back(ids_[static_cast<unsigned char>(byte)]);
    return true;
  }

 private:
  std::array<int32_t, 256> ids_;
};

}  // namespace gamut
