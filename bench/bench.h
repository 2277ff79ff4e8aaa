// `gamut bench`: what this machine can do at most, and what share of it kernels, training and generation reach.
#pragma once

#include <string>
#include <vector>

namespace gamut {

// arguments: [kind] [config.json or model folder] [key=value …]. Prints tables, or with `json` one object, on stdout. The exit code is 1
// when a kernel disagrees with the reference.
int bench_command(const std::vector<std::string>& arguments, bool json);

const std::vector<std::string>& bench_kinds();

}  // namespace gamut
