// The tree of commands and options: what is parsed, shown as help and completed in shells.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>

namespace gamut {

// `code` receives the exit code of the command that ran.
std::unique_ptr<CLI::App> make_app(int& code);

// What is wrong with a command line that did not parse, in one line, with the nearest name as hint.
std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error);

// Names as typed: options of a command ("--threads"), hidden ones left out.
std::vector<std::string> option_names(const CLI::App& command);

}  // namespace gamut
