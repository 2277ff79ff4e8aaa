// TOML documents as JSON values, remembering the line of every key for messages.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/config.h"
#include "base/json.h"

namespace gamut {

struct ConfigDocument {
  Json value;
  Origin origin;
};

ConfigDocument parse_toml(std::string_view text, const std::string& source);
ConfigDocument read_toml(const std::filesystem::path& path);
std::string write_toml(const Json& table);

// Applies "section.key=value" to the document. The value is read as TOML; what is not valid TOML is a string.
void apply_override(ConfigDocument& document, const std::string& assignment);

}  // namespace gamut
