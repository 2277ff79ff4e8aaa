// UTF-8, the character classes that splitting text needs, and normal forms.
//
// Classes follow the peer, Hugging Face `tokenizers` 0.23, whose parts come from libraries of different Unicode versions: regular
// expressions know Unicode 16, splitting at punctuation Unicode 8, stripping accents and normal forms Unicode 9. Debian's utf8proc
// 2.8 knows Unicode 15.0. Where they differ, unicode_tables.h lists the code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
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
void append_utf8(uint32_t code, std::string& out);

// Calls use(character, its bytes) for every character; bytes that are not UTF-8 come as code `broken`.
template <class Use> void for_each_character(std::string_view text, Use&& use) {
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    use(c.code, text.substr(at, c.bytes));
    at += c.bytes;
  }
}

enum class CharacterClass : uint8_t { other, letter, number, space };  // none of these, \p{L}, \p{N}, White_Space
CharacterClass class_of(uint32_t code);
bool is_word_character(uint32_t code);  // \w of added tokens' single_word
bool is_space(uint32_t code);           // White_Space

bool is_numeric(uint32_t code);          // splitting at digits
bool is_punctuation(uint32_t code);      // splitting at punctuation: ASCII's and \p{P}
bool is_mark(uint32_t code);             // StripAccents: \p{M}
bool is_accent(uint32_t code);           // BertNormalizer's accents: \p{Mn}
bool is_bert_control(uint32_t code);     // BertNormalizer's clean_text: Cc, Cf, Co but tab, newline, return
void append_lowercase(uint32_t code, std::string& out);  // full mapping of one character, without regard to its neighbours

enum class NormalForm { nfc, nfd, nfkc, nfkd };
// Bytes that are not UTF-8 stay as they are.
void normalize(std::string& text, NormalForm form);

// Where the extended grapheme cluster at text[begin] ends.
size_t grapheme_end(std::string_view text, size_t begin);

}  // namespace gamut
