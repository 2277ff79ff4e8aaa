// `gamut train RECIPE [key=value …]`: a run in a folder, resumed by itself from what the folder holds.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gamut {

// RUN/recipe.toml (resolved), metrics.jsonl, events.out.tfevents.*, checkpoints/step-N/, model/ (Hugging Face folder) at the end.
// The summary goes to stdout (JSON with `json`), progress to stderr. Returns 0, or 130/143 after an interrupt whose state was saved.
int train_command(const std::filesystem::path& recipe, const std::vector<std::string>& overrides, bool json);

}  // namespace gamut
