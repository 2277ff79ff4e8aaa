#include "training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gamut {

ScheduleOptions ScheduleOptions::take(Config& cfg) {
  ScheduleOptions o;
  o.kind = cfg.take_choice("kind", o.kind, {"constant", "linear", "cosine", "wsd"});
  o.warmup = cfg.take_in("warmup", o.warmup, 0.0, 1.0);
  o.floor = cfg.take_in("floor", o.floor, 0.0, 1.0);
  o.decay = cfg.take_in("decay", o.decay, 0.0, 1.0);
  cfg.finish();
  return o;
}

double schedule_factor(const ScheduleOptions& o, double tokens, double total) {
  const double warm = o.warmup * total;
  if (tokens < warm) return tokens / warm;
  if (o.kind == "constant") return 1;
  const double progress = total > warm ? std::clamp((tokens - warm) / (total - warm), 0.0, 1.0) : 1;
  if (o.kind == "linear") return o.floor + (1 - o.floor) * (1 - progress);
  if (o.kind == "cosine") return o.floor + (1 - o.floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  const double start = (1 - o.decay) * total;  // wsd
  if (tokens <= start) return 1;
  return o.floor + (1 - o.floor) * (1 - std::sqrt(std::clamp((tokens - start) / (total - start), 0.0, 1.0)));
}

}  // namespace gamut
