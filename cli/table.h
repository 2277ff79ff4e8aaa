// Tables for people, on a terminal of 80 columns.
#pragma once

#include <string>
#include <vector>

namespace gamut {

// Columns as wide as their widest cell, two spaces apart; the first is flush left and cut to 28 columns, the others flush right.
// Wide characters (Chinese) count as two columns.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

// 5.28e9, "FLOP": "5.28 GFLOP".
std::string in_units(double n, const std::string& unit);

}  // namespace gamut
