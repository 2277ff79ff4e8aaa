#include "base/json.h"

#include <algorithm>

#include "base/error.h"
#include "base/io.h"

namespace gamut {

bool nests_too_deep(std::string_view text) {
  constexpr int kDeepest = 256;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Json parse_json(std::string_view text, const std::string& source) {
  if (nests_too_deep(text)) throw Error({.who = "json", .what = "lists and objects are nested too deep", .where = source});
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const size_t at = std::min(error.byte ? error.byte - 1 : 0, text.size());
    const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1;
    throw Error({.who = "json", .what = "not valid JSON at byte " + std::to_string(at), .where = source + ":" + std::to_string(line)});
  } catch (const Json::exception& error) {  // e.g. a number out of range
    throw Error({.who = "json", .what = error.what(), .where = source});
  }
}

Json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

}  // namespace gamut
