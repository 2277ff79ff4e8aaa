// The commands, one function each; every one registers its options and sets the exit code when it runs.
#pragma once

#include <CLI/App.hpp>

namespace gamut {

void add_commands(CLI::App& app, int& code);

}  // namespace gamut
