#include "data/tokenizers/json_cursor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

constexpr int kDeepest = 64;

}  // namespace

void JsonCursor::fail(const std::string& what) const {
  const std::string_view before = text_.substr(0, at_);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n');
  throw Error({.who = "tokenizer", .what = "not valid: " + what, .where = source_ + ", line " + std::to_string(line) + ", column " +
                                                                         std::to_string(at_ - (start == std::string_view::npos ? 0 : start + 1) + 1)});
}

char JsonCursor::peek() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  if (at_ >= text_.size()) fail("the JSON ends too early");
  return text_[at_];
}

void JsonCursor::expect(char c) {
  if (peek() != c) fail(std::string("expected '") + c + "'");
  ++at_;
}

std::string_view JsonCursor::string() {
  if (peek() != '"') fail("expected a string");
  const size_t begin = ++at_;
  while (at_ < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') return text_.substr(begin, at_++ - begin);
    if (c == '\\') return escaped_string(begin);
    if (c < 32) fail("a control character within a string");
    ++at_;
  }
  fail("a string is not closed");
}

uint32_t JsonCursor::four_digits() {
  uint32_t code = 0;
  if (at_ + 4 > text_.size()) fail("\\u needs four hexadecimal digits");
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
  if (error != std::errc() || end != text_.data() + at_ + 4) fail("\\u needs four hexadecimal digits");
  at_ += 4;
  return code;
}

std::string_view JsonCursor::escaped_string(size_t begin) {
  std::string out(text_.substr(begin, at_ - begin));
  while (at_ < text_.size()) {
    const char c = text_[at_++];
    if (c == '"') return unescaped_.emplace_back(std::move(out));
    if (static_cast<unsigned char>(c) < 32) fail("a control character within a string");
    if (c != '\\') {
      out += c;
      continue;
    }
    const char kind = at_ < text_.size() ? text_[at_++] : '\0';
    switch (kind) {
      case '"': case '\\': case '/': out += kind; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        uint32_t code = four_digits();
        if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
          at_ += 2;
          const uint32_t low = four_digits();
          if (low < 0xdc00 || low > 0xdfff) fail("half of a surrogate pair");
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        if (code >= 0xd800 && code < 0xe000) fail("half of a surrogate pair");
        append_utf8(code, out);
        break;
      }
      default: fail("an unknown escape in a string");
    }
  }
  fail("a string is not closed");
}

namespace {

// A number as the peer's JSON parser (serde_json) makes it: 64 bits of digits, times or over a power of ten. That can be one unit off the nearest
// double, and which of two equal spellings a Unigram model takes hangs on such units.
double peers_number(std::string_view text) {
  static const std::array<double, 309> powers = [] {
    std::array<double, 309> out{};
    for (size_t i = 0; i < out.size(); ++i) {
      const std::string word = "1e" + std::to_string(i);
      std::from_chars(word.data(), word.data() + word.size(), out[i]);
    }
    return out;
  }();
  uint64_t digits = 0;
  int exponent = 0;
  bool fraction = false, full = false;
  size_t at = text.starts_with('-') ? 1 : 0;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    uint64_t more;
    full = full || __builtin_mul_overflow(digits, uint64_t{10}, &more) || __builtin_add_overflow(more, static_cast<uint64_t>(text[at] - '0'), &more);
    if (!full) digits = more;
    exponent += (full ? 1 : 0) - (fraction ? 1 : 0);
  }
  if (at < text.size()) {
    int written = 0;
    at += text[at + 1] == '+' ? 2 : 1;
    std::from_chars(text.data() + at, text.data() + text.size(), written);
    exponent += written;
  }
  auto value = static_cast<double>(digits);
  for (; exponent < -308 && value != 0; exponent += 308) value /= 1e308;
  if (value != 0) value = exponent < 0 ? value / powers[static_cast<size_t>(-exponent)] : exponent > 308 ? INFINITY : value * powers[static_cast<size_t>(exponent)];
  return text.starts_with('-') ? -value : value;
}

}  // namespace

double JsonCursor::number() {
  peek();
  double value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc() || (text_[at_] != '-' && (text_[at_] < '0' || text_[at_] > '9'))) fail("expected a number");
  const std::string_view word = text_.substr(at_, static_cast<size_t>(end - text_.data()) - at_);
  if (word.find_first_not_of("+-.0123456789eE") != std::string_view::npos) fail("expected a number");  // -inf, -nan
  at_ = static_cast<size_t>(end - text_.data());
  return peers_number(word);
}

int64_t JsonCursor::integer() {
  peek();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("expected a whole number");
  at_ = static_cast<size_t>(end - text_.data());
  if (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E')) fail("expected a whole number");
  return value;
}

void JsonCursor::skip(int depth) {
  if (depth > kDeepest) fail("nested too deeply");
  switch (peek()) {
    case '{':
      return object([&](std::string_view) { skip(depth + 1); });
    case '[':
      return array([&](size_t) { skip(depth + 1); });
    case '"':
      string();
      return;
    default: break;
  }
  for (const std::string_view word : {"true", "false", "null"}) {
    if (text_.substr(at_, word.size()) == word) {
      at_ += word.size();
      return;
    }
  }
  number();
}

std::string_view JsonCursor::raw() {
  peek();
  const size_t begin = at_;
  skip(0);
  return text_.substr(begin, at_ - begin);
}

void JsonCursor::finish() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  if (at_ < text_.size()) fail("something follows the end of the JSON");
}

}  // namespace gamut
