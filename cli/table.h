// Tables for people, on a terminal of 80 columns.
#pragma once

#include <string>
#include <vector>

namespace gamut {

// Columns as wide as their widest cell, two spaces apart; the first is flush left and cut to 28 columns, the others flush right.
// Wide characters (Chinese) count as two columns.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace gamut
