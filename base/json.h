// JSON values keep the order of their keys, so that what Gamut writes reads like what it was given.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gamut {

using Json = nlohmann::ordered_json;

// Parses text; an Error names `source` with line and column, and what was found there.
Json parse_json(std::string_view text, const std::string& source);
Json read_json(const std::filesystem::path& path);

}  // namespace gamut
