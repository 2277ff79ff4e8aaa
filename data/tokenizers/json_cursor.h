// Reads JSON in one pass without building a tree: a vocabulary of 260,000 tokens and its merges are 30 MB of it. Strings are views
// into the text where they hold no escapes.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace gamut {

class JsonCursor {
 public:
  // `text` must outlive the cursor and every view; `unescaped` owns strings that are not in it word for word.
  JsonCursor(std::string_view text, std::string source, std::deque<std::string>& unescaped) : text_(text), source_(std::move(source)), unescaped_(unescaped) {}

  char peek();  // first character of the next value
  std::string_view string();
  double number();
  int64_t integer();
  std::string_view raw();  // the next value, unread

  // Calls member(key) for every member; it must read the value.
  template <class Member> void object(Member&& member) {
    expect('{');
    if (peek() == '}') return expect('}');
    for (;;) {
      const std::string_view key = string();
      expect(':');
      member(key);
      if (peek() == '}') return expect('}');
      expect(',');
    }
  }
  // Calls item(index) for every element; it must read it.
  template <class Item> void array(Item&& item) {
    expect('[');
    if (peek() == ']') return expect(']');
    for (size_t i = 0;; ++i) {
      item(i);
      if (peek() == ']') return expect(']');
      expect(',');
    }
  }
  void finish();  // nothing may follow

  [[noreturn]] void fail(const std::string& what) const;  // with line and column

 private:
  std::string_view text_;
  size_t at_ = 0;
  std::string source_;
  std::deque<std::string>& unescaped_;

  void expect(char c);
  std::string_view escaped_string(size_t begin);
  uint32_t four_digits();
  void skip(int depth);
};

}  // namespace gamut
