// What the queries of one row of a batch see.
#pragma once

#include "ops/attention.h"

namespace gamut::ops {

// The rule for row b of a batch, and how many of its `keys` keys it has.
struct RowSight {
  kernels::Sight sight;
  int64_t keys;
};
RowSight row_sight(const Visibility& visibility, int64_t b, int64_t keys);

}  // namespace gamut::ops
