// Kimi delta attention in published files: the tensors that all layouts name alike.
#pragma once

#include "families/skeleton.h"
#include "modules/mixers/mixers.h"

namespace gamut {

KdaOptions kda_options(const Component& mixer, const ModelSpec& spec);
// With `rate` the shape of A_log, and the names of the two maps each that decay and gate come from.
struct KdaNames {
  std::vector<int64_t> rate;
  const char *decay_down, *decay_up, *gate_down, *gate_up;
};
void name_kda(NameMap& map, const std::string& theirs, const std::string& ours, const KdaNames& names);

}  // namespace gamut
