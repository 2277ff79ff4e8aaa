#include "data/tokenizers/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <mutex>
#include <vector>

#include "data/tokenizers/unicode_tables.h"

namespace gamut {
namespace {

// The category letters of a code point that Unicode 15 and 16 added, or "".
std::string_view newer_category(uint32_t code) {
  const NewerRange* at = std::upper_bound(std::begin(kNewer), std::end(kNewer), code, [](uint32_t c, const NewerRange& r) { return c < r.first; });
  return at != std::begin(kNewer) && code <= at[-1].last ? at[-1].category : "";
}

CharacterClass newer_class(uint32_t code) {
  const std::string_view category = newer_category(code);
  return category.starts_with('L') ? CharacterClass::letter : category.starts_with('N') ? CharacterClass::number : CharacterClass::other;
}

utf8proc_category_t category_of(uint32_t code) {
  return code > 0x10ffff ? UTF8PROC_CATEGORY_CN : utf8proc_category(static_cast<utf8proc_int32_t>(code));
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

void append_utf8(uint32_t code, std::string& out) {
  char bytes[4];
  size_t used = 0;
  append_utf8(code, bytes, used);
  out.append(bytes, used);
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
  if (code < 128) return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9') || code == '_';
  if (code == 0x200c || code == 0x200d) return true;  // joiners
  // Other_Alphabetic: the circled and squared letters are symbols by category.
  if ((code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) || (code >= 0x1f150 && code <= 0x1f169) ||
      (code >= 0x1f170 && code <= 0x1f189))
    return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC: return true;
    case UTF8PROC_CATEGORY_CN: {
      const std::string_view category = newer_category(code);
      return category.starts_with('L') || category == "M" || category == "Nd";
    }
    default: return class_of(code) == CharacterClass::letter;
  }
}

bool is_space(uint32_t code) { return class_of(code) == CharacterClass::space; }

bool is_numeric(uint32_t code) { return class_of(code) == CharacterClass::number || in_ranges(kNewerNumbers, code); }

bool is_punctuation(uint32_t code) {
  if (code < 128) return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) || (code >= 123 && code <= 126);
  if (code == 0x166d || code == 0x111c9) return true;  // were punctuation once
  const utf8proc_category_t category = category_of(code);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO && !in_ranges(kLaterPunctuation, code);
}

bool is_mark(uint32_t code) {
  if (code < 0x300) return false;
  if (code == 0x1cf2 || code == 0x1cf3) return true;  // were marks once
  const utf8proc_category_t category = category_of(code);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME && !in_ranges(kLaterMarks, code);
}

bool is_accent(uint32_t code) {
  if (code < 0x300) return false;
  return code == 0x1734 || (category_of(code) == UTF8PROC_CATEGORY_MN && !in_ranges(kLaterAccents, code));
}

bool is_bert_control(uint32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  switch (category_of(code)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CO: return true;
    case UTF8PROC_CATEGORY_CF: return !in_ranges(kLaterControls, code);
    default: return false;
  }
}

void append_lowercase(uint32_t code, std::string& out) {
  if (code < 128) {
    out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
    return;
  }
  if (code == 0x130) {  // the only capital that becomes two characters
    out += "i\xcc\x87";
    return;
  }
  for (const CapitalRange& range : kNewerCapitals)
    if (code >= range.first && code <= range.last) return append_utf8(static_cast<uint32_t>(static_cast<int32_t>(code) + range.by), out);
  append_utf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))), out);
}

namespace {

// Characters the normal forms of Unicode 9 leave alone, though utf8proc would not.
bool unknown_to_forms(uint32_t code) { return code >= 0x7fd && (in_ranges(kLaterDecompositions, code) || in_ranges(kLaterMarks, code)); }

// text in the form, in new memory.
std::string formed(std::string_view text, NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &out,
                                              static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(out, std::free);
  if (bytes < 0) return std::string(text);
  return std::string(reinterpret_cast<const char*>(out), static_cast<size_t>(bytes));
}

// Characters that a form leaves as they are and that join nothing before them: text may be cut in front of each.
class InertCharacters {
 public:
  explicit InertCharacters(NormalForm form) : inert_(0x10000) {
    for (uint32_t code = 0; code < inert_.size(); ++code) inert_[code] = decide(code, form);
  }
  bool operator()(uint32_t code) const {
    if (code < inert_.size()) return inert_[code];
    return code == Character::broken || unknown_to_forms(code) || (code >= 0x1f300 && code < 0x1fb00) || (code >= 0x20000 && code < 0x2f800) ||
           (code >= 0x30000 && code < 0x40000);
  }

 private:
  std::vector<bool> inert_;

  static bool decide(uint32_t code, NormalForm form) {
    if (code < 0x80 || (code >= 0xd800 && code < 0xe000) || unknown_to_forms(code)) return true;
    if (code >= 0x1160 && code < 0x1200) return false;  // Hangul vowels and finals join what is before them
    if (code >= 0xac00 && code < 0xd7a4) return form == NormalForm::nfc || form == NormalForm::nfkc;
    const utf8proc_property_t* about = utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
    if (about->combining_class != 0 || (about->comb_index != UINT16_MAX && about->comb_index >= 0x8000)) return false;
    if (about->decomp_seqindex == UINT16_MAX) return true;
    std::string one;
    append_utf8(code, one);
    return formed(one, form) == one;
  }
};

const InertCharacters& inert_characters(NormalForm form) {
  static std::once_flag once[4];
  static std::unique_ptr<const InertCharacters> tables[4];
  const auto i = static_cast<size_t>(form);
  std::call_once(once[i], [&] { tables[i] = std::make_unique<const InertCharacters>(form); });
  return *tables[i];
}

}  // namespace

void normalize(std::string& text, NormalForm form) {
  const InertCharacters& inert = inert_characters(form);
  std::string out;
  size_t done = 0, base = 0;  // text before `done` is in out; base: the last place where text may be cut
  bool untouchable = false;   // the character at base must not be seen by utf8proc
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      base = at++;
      untouchable = false;
      continue;
    }
    Character c = character_at(text, at);
    if (inert(c.code)) {
      base = at;
      untouchable = c.code == Character::broken || unknown_to_forms(c.code);
      at += c.bytes;
      continue;
    }
    const size_t begin = untouchable ? at : base;
    size_t end = at;
    while (end < text.size() && !inert((c = character_at(text, end)).code)) end += c.bytes;
    out.append(text, done, begin - done);
    out += formed(std::string_view(text).substr(begin, end - begin), form);
    done = base = at = end;
  }
  if (done == 0) return;
  out.append(text, done);
  text = std::move(out);
}

size_t grapheme_end(std::string_view text, size_t begin) {
  Character c = character_at(text, begin);
  size_t at = begin + c.bytes;
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    const Character next = character_at(text, at);
    if (c.code == Character::broken || next.code == Character::broken) break;
    if (c.code < 0x80 && next.code < 0x80 && c.code != '\r') break;
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c.code), static_cast<utf8proc_int32_t>(next.code), &state)) break;
    at += next.bytes;
    c = next;
  }
  return at;
}

}  // namespace gamut
