#include "data/tokenizers/byte_level.h"

#include <array>

#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

constexpr std::array<CharacterClass, 128> kAscii = [] {
  std::array<CharacterClass, 128> table{};
  for (size_t c = 0; c < table.size(); ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 9 && c <= 13);
    table[c] = letter                    ? CharacterClass::letter
               : c >= '0' && c <= '9'    ? CharacterClass::number
               : space                   ? CharacterClass::space
                                         : CharacterClass::other;
  }
  return table;
}();

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<uint16_t, 256> kCodeOfByte = [] {
  std::array<uint16_t, 256> table{};
  uint16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) table[byte] = stands_for_itself(byte) ? static_cast<uint16_t>(byte) : next++;
  return table;
}();

constexpr std::array<int16_t, 0x144> kByteOfCode = [] {
  std::array<int16_t, 0x144> table{};
  for (int16_t& byte : table) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) table[kCodeOfByte[byte]] = static_cast<int16_t>(byte);
  return table;
}();

struct Classified {
  CharacterClass kind;
  uint32_t bytes;
};

inline Classified classify(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {kAscii[byte], 1};
  const Character c = character_at(text, at);
  return {class_of(c.code), c.bytes};
}

// The end of the run of `kind` that starts at or before `at`.
size_t run_end(std::string_view text, size_t at, CharacterClass kind) {
  while (at < text.size()) {
    const Classified c = classify(text, at);
    if (c.kind != kind) break;
    at += c.bytes;
  }
  return at;
}

size_t contraction(std::string_view rest) {  // rest[0] is an apostrophe
  if (rest.size() > 1) {
    const char a = rest[1], b = rest.size() > 2 ? rest[2] : '\0';
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  }
  return 0;
}

}  // namespace

size_t gpt2_piece_end(std::string_view text, size_t begin) {
  if (text[begin] == '\'') {
    if (const size_t bytes = contraction(text.substr(begin))) return begin + bytes;
  }
  Classified first = classify(text, begin);
  if (first.kind != CharacterClass::space) return run_end(text, begin + first.bytes, first.kind);
  if (text[begin] == ' ' && begin + 1 < text.size()) {
    const Classified second = classify(text, begin + 1);
    if (second.kind != CharacterClass::space) return run_end(text, begin + 1 + second.bytes, second.kind);
  }
  // A run of white space leaves its last character to what follows it, unless it is alone.
  size_t end = begin + first.bytes, last = begin;
  while (end < text.size()) {
    const Classified next = classify(text, end);
    if (next.kind != CharacterClass::space) return last > begin ? last : end;
    last = end;
    end += next.bytes;
  }
  return end;
}

uint32_t code_of_byte(uint8_t byte) { return kCodeOfByte[byte]; }

int byte_of_code(uint32_t code) { return code < kByteOfCode.size() ? kByteOfCode[code] : -1; }

std::string text_of_bytes(std::string_view bytes) {
  std::string out;
  append_text_of_bytes(bytes, out);
  return out;
}

void append_text_of_bytes(std::string_view bytes, std::string& out) {
  size_t used = out.size();
  out.resize(used + bytes.size() * 2);
  for (const char byte : bytes) append_utf8(kCodeOfByte[static_cast<uint8_t>(byte)], out.data(), used);
  out.resize(used);
}

std::string bytes_of_text(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    const int byte = byte_of_code(c.code);
    if (byte < 0) return std::string(text);
    out.push_back(static_cast<char>(byte));
    at += c.bytes;
  }
  return out;
}

}  // namespace gamut
