// What follows from the curves of a study's arms alone.
#pragma once

#include "base/json.h"

namespace gamut {

// The `comparison` value of a study (schema in report.h) computed from its `arms`, `domains` and their curves: ratios at equal
// loss with paired intervals, the speed-up curve, the crossing, per-domain differences and the noise floor. Seeds are paired by
// number: those that only one arm finished take no part. Null when the study has no baseline, no treatment or no common seed.
Json compare_arms(const Json& study, double confidence = 0.95);

}  // namespace gamut
