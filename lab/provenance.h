// Where a study's numbers come from.
#pragma once

#include <string>

#include "data/dataset.h"

namespace gamut {

std::string utc_now();  // 2026-01-31T12:34:56Z
// {git: {hash, dirty}, version, build, cpu, tier, threads, numa, os, rerun}.
Json provenance(const std::string& rerun, const Json& machine);
Json data_rows(const Dataset& data);               // [{name, hash, bytes, tokens}]
Json domain_name(const std::string& domain);       // {"en", "zh"}, or the name alone

}  // namespace gamut
