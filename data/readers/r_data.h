// Text kept in the data files of R packages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gamut {

// The character vectors in an R lazy-load database (NAME.rdb): one list of strings for each stored object that is a plain
// character vector; other objects are passed over. Each record is its unpacked length (4 bytes, big-endian) and a zlib stream
// of R's XDR serialisation ("R Internals", section 1.8). Error, naming `source`, when a record is damaged.
std::vector<std::vector<std::string>> read_r_strings(std::string_view database, const std::string& source);

}  // namespace gamut
