#include "base/json.h"

#include <algorithm>

#include "base/error.h"
#include "base/io.h"

namespace gamut {

Json parse_json(std::string_view text, const std::string& source) {
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
