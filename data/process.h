// Runs another program, without a shell.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gamut {

struct Finished {
  int status = 0;      // exit status; 127 when the program does not exist, 128 + signal when one ended it
  std::string output;  // stdout and stderr together, at most the last 64 KiB
};

// arguments[0] is looked up in PATH. Standard input is empty. Waits for the end; SIGINT and SIGTERM reach the program too.
Finished run_program(const std::vector<std::string>& arguments, const std::filesystem::path& working_folder);

}  // namespace gamut
