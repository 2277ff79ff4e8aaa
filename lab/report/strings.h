// Every label of the report in English and 中文.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/json.h"

namespace gamut {

enum class Language { english, chinese };

// The same text in both languages; a plain string is the same in both.
struct Text {
  std::string en;
  std::string zh;
  Text() = default;
  Text(std::string both) : en(both), zh(std::move(both)) {}  // NOLINT: conversion wanted
  Text(const char* both) : Text(std::string(both)) {}        // NOLINT: conversion wanted
  Text(std::string english, std::string chinese) : en(std::move(english)), zh(std::move(chinese)) {}
  const std::string& in(Language language) const { return language == Language::english ? en : zh; }
  bool empty() const { return en.empty() && zh.empty(); }
  Text& operator+=(const Text& other);
};
Text operator+(Text a, const Text& b);
bool operator==(const Text& a, const Text& b);

// Keys of the table in strings.inl.
enum class Say {
#define GAMUT_SAY(key, english, chinese) key,
#include "lab/report/strings.inl"
#undef GAMUT_SAY
  count_
};

// Whether a text begins or ends with a Chinese character or mark.
bool begins_wide(std::string_view text);
bool ends_wide(std::string_view text);
// The phrase with {0}, {1}, … replaced; spaces that then stand between Chinese characters are closed up.
Text say(Say key, std::initializer_list<Text> arguments = {});
// A study's Text value: a string, or {"en", "zh"}; a missing language falls back to the other. Empty for null.
Text text_of(const Json& value);

}  // namespace gamut
