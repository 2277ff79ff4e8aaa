// Every reader of files from elsewhere, as a function of any bytes at all. A reader may refuse them with gamut::Error; anything
// else that comes out (another exception, a crash, a sanitizer's report, a broken law) is a mistake of ours.
#pragma once

#include <span>
#include <string_view>

namespace gamut::fuzz {

struct Target {
  const char* name;
  void (*read)(std::string_view input);  // throws what the reader throws; std::logic_error where a law is broken
};

std::span<const Target> targets();
const Target* find_target(std::string_view name);  // null: none of this name

// Reads, and takes an Error for the answer it is. Returns whether the input was accepted.
bool accepts(const Target& target, std::string_view input);

}  // namespace gamut::fuzz
