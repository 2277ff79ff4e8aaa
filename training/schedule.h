// Learning rates over a run, in tokens.
#pragma once

#include <cstdint>
#include <string>

#include "base/config.h"

namespace gamut {

struct ScheduleOptions {
  std::string kind = "cosine";  // constant | linear | cosine | wsd
  double warmup = 0.02;         // share of the tokens, rate rising from 0; the first step is not 0
  double floor = 0.1;           // lowest rate as a share of the peak, reached at the end (not for constant)
  double decay = 0.2;           // wsd: share of the tokens spent falling, by 1 − √progress [Hägele et al., 2024]
  static ScheduleOptions take(Config& cfg);
};

// Factor on the peak rate for the step that ends at `tokens` of `total`.
double schedule_factor(const ScheduleOptions& options, double tokens, double total);

}  // namespace gamut
