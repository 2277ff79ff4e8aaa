// JSON values keep the order of their keys, so that what Gamut writes reads like what it was given.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gamut {

using Json = nlohmann::ordered_json;

// Parses text; an Error names `source` with line and byte.
Json parse_json(std::string_view text, const std::string& source);
Json read_json(const std::filesystem::path& path);

// Whether brackets outside strings nest deeper than anything Gamut reads. Values so deep overflow the stack when copied or
// written, so readers refuse them before parsing.
bool nests_too_deep(std::string_view json_text);

}  // namespace gamut
