#include "data/tokenizers/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace gamut {
namespace {

struct Range {
  uint32_t first, last;
  CharacterClass kind;
};

// Letters and numbers that Unicode 15.1 and 16 added: Debian's utf8proc 2.8 knows Unicode 15.0, where they are unassigned.
constexpr auto kLetter = CharacterClass::letter, kNumber = CharacterClass::number;
constexpr Range kNewer[] = {
    {0x1c89, 0x1c8a, kLetter},   {0xa7cb, 0xa7cd, kLetter},   {0xa7da, 0xa7dc, kLetter},   {0x105c0, 0x105f3, kLetter},
    {0x10d40, 0x10d49, kNumber}, {0x10d4a, 0x10d65, kLetter}, {0x10d6f, 0x10d85, kLetter}, {0x10ec2, 0x10ec4, kLetter},
    {0x11380, 0x11389, kLetter}, {0x1138b, 0x1138b, kLetter}, {0x1138e, 0x1138e, kLetter}, {0x11390, 0x113b5, kLetter},
    {0x113b7, 0x113b7, kLetter}, {0x113d1, 0x113d1, kLetter}, {0x113d3, 0x113d3, kLetter}, {0x116d0, 0x116e3, kNumber},
    {0x11bc0, 0x11be0, kLetter}, {0x11bf0, 0x11bf9, kNumber}, {0x13460, 0x143fa, kLetter}, {0x16100, 0x1611d, kLetter},
    {0x16130, 0x16139, kNumber}, {0x16d40, 0x16d6c, kLetter}, {0x16d70, 0x16d79, kNumber}, {0x18cff, 0x18cff, kLetter},
    {0x1ccf0, 0x1ccf9, kNumber}, {0x1e5d0, 0x1e5ed, kLetter}, {0x1e5f0, 0x1e5f0, kLetter}, {0x1e5f1, 0x1e5fa, kNumber},
    {0x2ebf0, 0x2ee5d, kLetter}};

CharacterClass newer_class(uint32_t code) {
  const Range* at = std::upper_bound(std::begin(kNewer), std::end(kNewer), code, [](uint32_t c, const Range& r) { return c < r.first; });
  return at != std::begin(kNewer) && code <= at[-1].last ? at[-1].kind : CharacterClass::other;
}

bool continues(unsigned char byte) { return (byte & 0xc0) == 0x80; }

}  // namespace

Character character_at(std::string_view text, size_t at) {
  const auto* s = reinterpret_cast<const unsigned char*>(text.data()) + at;
  const size_t left = text.size() - at;
  const uint32_t b = s[0];
  if (b < 0x80) return {b, 1};
  if (b < 0xc2 || b > 0xf4) return {};
  if (b < 0xe0) return left > 1 && continues(s[1]) ? Character{(b & 0x1f) << 6 | (s[1] & 0x3fu), 2} : Character{};
  if (b < 0xf0) {
    if (left < 3 || !continues(s[1]) || !continues(s[2])) return {};
    const uint32_t code = (b & 0xf) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    return code < 0x800 || (code >= 0xd800 && code < 0xe000) ? Character{} : Character{code, 3};
  }
  if (left < 4 || !continues(s[1]) || !continues(s[2]) || !continues(s[3])) return {};
  const uint32_t code = (b & 7) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
  return code < 0x10000 || code > 0x10ffff ? Character{} : Character{code, 4};
}

Character character_before(std::string_view text, size_t end) {
  for (size_t bytes = 1; bytes <= std::min<size_t>(4, end); ++bytes) {
    const Character c = character_at(text.substr(0, end), end - bytes);
    if (c.bytes == bytes && c.code != Character::broken) return c;
  }
  return {};
}

void append_utf8(uint32_t code, char* out, size_t& bytes) {
  if (code < 0x80) {
    out[bytes++] = static_cast<char>(code);
  } else if (code < 0x800) {
    out[bytes++] = static_cast<char>(0xc0 | code >> 6);
    out[bytes++] = static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out[bytes++] = static_cast<char>(0xe0 | code >> 12);
    out[bytes++] = static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out[bytes++] = static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out[bytes++] = static_cast<char>(0xf0 | code >> 18);
    out[bytes++] = static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out[bytes++] = static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out[bytes++] = static_cast<char>(0x80 | (code & 0x3f));
  }
}

CharacterClass class_of(uint32_t code) {
  if (code >= 0x4e00 && code <= 0x9fff) return CharacterClass::letter;  // the common Chinese characters, without a look-up
  if ((code >= 9 && code <= 13) || code == 0x85) return CharacterClass::space;
  if (code > 0x10ffff) return CharacterClass::other;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CharacterClass::letter;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return CharacterClass::number;
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return CharacterClass::space;
    case UTF8PROC_CATEGORY_CN: return newer_class(code);
    default: return CharacterClass::other;
  }
}

bool is_word_character(uint32_t code) {
  if (code > 0x10ffff) return false;
  if (code == 0x200c || code == 0x200d) return true;  // joiners
  // Other_Alphabetic: the circled and squared letters are symbols by category.
  if ((code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) || (code >= 0x1f150 && code <= 0x1f169) ||
      (code >= 0x1f170 && code <= 0x1f189))
    return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC: return true;
    default: return class_of(code) == CharacterClass::letter;
  }
}

}  // namespace gamut
