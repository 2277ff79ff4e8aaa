// The experts that were used most, side by side in one layer, each weighed by its share of the gates: what split experts came from.
#include "modules/conversions/conversion.h"

namespace gamut {

Reduction build_concat(Config& cfg, int64_t experts, int64_t hidden) {
  const bool by_gate = take_by_gate(cfg);
  const auto keep = cfg.take_in<int64_t>("experts", experts, 1, experts);
  Reduction r{.hidden = keep * hidden};
  r.dense = [=](const std::function<FfnValues(int64_t)>& expert, const RoutingRecord& use) {
    std::vector<int64_t> kept = by_use(use, by_gate);
    kept.resize(static_cast<size_t>(keep));
    std::sort(kept.begin(), kept.end());
    double sum = 0;
    for (const int64_t e : kept) sum += use.gate_E[static_cast<size_t>(e)];
    std::vector<FfnValues> parts;
    for (const int64_t e : kept) {
      parts.push_back(expert(e));
      parts.back().scale_down(sum > 0 ? use.mean_gate() * use.gate_E[static_cast<size_t>(e)] / sum : 0.0);
    }
    return side_by_side(parts);
  };
  return r;
}

}  // namespace gamut
