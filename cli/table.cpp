#include "cli/table.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/text.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

constexpr size_t kWidestName = 28;

size_t columns_of(const Character& c) { return c.code == Character::broken ? 1 : static_cast<size_t>(std::max(0, utf8proc_charwidth(static_cast<utf8proc_int32_t>(c.code)))); }

size_t width_of(const std::string& text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    width += columns_of(c);
    at += c.bytes;
  }
  return width;
}

std::string cut_to(const std::string& text, size_t width) {
  if (width_of(text) <= width) return text;
  size_t at = 0, used = 0;
  while (at < text.size()) {
    const Character c = character_at(text, at);
    if (used + columns_of(c) > width - 1) break;
    used += columns_of(c);
    at += c.bytes;
  }
  return text.substr(0, at) + "…";
}

}  // namespace

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], i == 0 ? std::min(kWidestName, width_of(row[i])) : width_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = i == 0 ? cut_to(row[i], kWidestName) : row[i];
      const std::string gap(widths[i] - width_of(cell), ' ');
      line += i == 0 ? cell + gap : "  " + gap + cell;
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string in_units(double n, const std::string& unit) {
  std::string number = human_count(n);
  const size_t prefix = number.find_last_of("0123456789") + 1;
  return number.insert(prefix, " ") + unit;
}

}  // namespace gamut
