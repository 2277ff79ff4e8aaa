// UTF-8 decoding and the character classes that splitting text needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gamut {

// The character at text[at] (at < text.size()). What is not UTF-8 (overlong, surrogate, beyond U+10FFFF, cut) is one byte.
struct Character {
  static constexpr uint32_t broken = 0xffffffff;
  uint32_t code = broken;
  uint32_t bytes = 1;
};
Character character_at(std::string_view text, size_t at);
Character character_before(std::string_view text, size_t end);  // the one that ends at `end` > 0

void append_utf8(uint32_t code, char* out, size_t& bytes);

enum class CharacterClass : uint8_t { other, letter, number, space };  // none of these, \p{L}, \p{N}, White_Space

// Unicode 16, as the regular expressions of Hugging Face `tokenizers` 0.23 see it.
CharacterClass class_of(uint32_t code);
bool is_word_character(uint32_t code);  // \w

}  // namespace gamut
