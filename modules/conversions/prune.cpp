// The experts that were used least are left out, with their router rows.
#include "modules/conversions/conversion.h"

namespace gamut {

Reduction build_prune(Config& cfg, int64_t experts, int64_t hidden) {
  const bool by_gate = take_by_gate(cfg);
  Reduction r{.hidden = hidden, .experts = cfg.take_in<int64_t>("experts", std::max<int64_t>(experts / 2, 1), 1, experts)};
  r.kept = [by_gate, keep = r.experts](const RoutingRecord& use) {
    std::vector<int64_t> kept = by_use(use, by_gate);
    kept.resize(static_cast<size_t>(keep));
    std::sort(kept.begin(), kept.end());
    return kept;
  };
  return r;
}

}  // namespace gamut
