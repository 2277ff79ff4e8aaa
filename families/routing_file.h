// Choices of routers in files: written in one run, enforced in another.
#pragma once

#include <filesystem>
#include <vector>

#include "modules/module.h"

namespace gamut {

// A safetensors file: for each router, under its name ("layers.0.channel"), int32 [tokens, slots].
void write_routing(const std::vector<RouterChoices>& choices, const std::filesystem::path& path);
// Error when the file is no such file.
std::vector<RouterChoices> read_routing(const std::filesystem::path& path);

}  // namespace gamut
