#include "lab/report/strings.h"

#include <array>

#include "base/error.h"

namespace gamut {
namespace {

struct Entry {
  const char* english;
  const char* chinese;
};
constexpr std::array<Entry, static_cast<size_t>(Say::count_)> kTable{{
#define GAMUT_SAY(key, english, chinese) {english, chinese},
#include "lab/report/strings.inl"
#undef GAMUT_SAY
}};

std::string fill(std::string_view pattern, std::initializer_list<Text> arguments, Language language) {
  std::string result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool place = pattern[i] == '{' && i + 2 < pattern.size() && pattern[i + 2] == '}';
    const size_t index = place ? static_cast<size_t>(pattern[i + 1] - '0') : arguments.size();
    if (index >= arguments.size()) {
      result += pattern[i];
      continue;
    }
    result += (arguments.begin() + index)->in(language);
    i += 2;
  }
  return result;
}

}  // namespace

Text& Text::operator+=(const Text& other) {
  en += other.en;
  zh += other.zh;
  return *this;
}
Text operator+(Text a, const Text& b) { return a += b; }
bool operator==(const Text& a, const Text& b) { return a.en == b.en && a.zh == b.zh; }

bool begins_wide(std::string_view text) { return !text.empty() && static_cast<unsigned char>(text.front()) >= 0xe3; }  // U+3000 and above, in UTF-8

bool ends_wide(std::string_view text) {
  while (text.size() > 1 && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
  return !text.empty() && static_cast<unsigned char>(text.back()) >= 0xe3;
}

Text say(Say key, std::initializer_list<Text> arguments) {
  const Entry& entry = kTable.at(static_cast<size_t>(key));
  std::string chinese = fill(entry.chinese, arguments, Language::chinese);
  for (size_t at = 0; (at = chinese.find(' ', at)) != std::string::npos;) {
    const std::string_view all = chinese;
    if (ends_wide(all.substr(0, at)) && begins_wide(all.substr(at + 1))) chinese.erase(at, 1);
    else ++at;
  }
  return {fill(entry.english, arguments, Language::english), std::move(chinese)};
}

Text text_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return Text(value.get<std::string>());
  if (value.is_object() && (value.contains("en") || value.contains("zh"))) {
    const std::string english = value.value("en", value.value("zh", ""));
    return {english, value.value("zh", english)};
  }
  throw Error({.who = "report", .what = "expected a text or {\"en\", \"zh\"}, found " + value.dump().substr(0, 60)});
}

}  // namespace gamut
