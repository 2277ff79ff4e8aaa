// The report's pictures of where tokens went.
#pragma once

#include "lab/race.h"

namespace gamut {

// Adds one run's rows to the study's `loads` and, of text in several domains, `specialisation`.
void add_routing(Json& study, const std::string& arm, const Outcome& run, const std::vector<std::string>& domains);

}  // namespace gamut
