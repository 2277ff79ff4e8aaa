// Words that Gamut's files and tables use: metrics of a run, settings of recipes, quantities of reports.
#pragma once

#include <string>
#include <vector>

namespace gamut {

struct GlossaryEntry {
  std::string kind, name, meaning;  // kind: metric | setting | quantity
};
const std::vector<GlossaryEntry>& glossary();

}  // namespace gamut
