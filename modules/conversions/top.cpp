// The expert that was used most stands for all. [Chen et al., Task-specific expert pruning, 2022]
#include "modules/conversions/conversion.h"

namespace gamut {

Reduction build_top(Config& cfg, int64_t, int64_t hidden) {
  const bool by_gate = take_by_gate(cfg);
  Reduction r{.hidden = hidden};
  r.dense = [=](const std::function<FfnValues(int64_t)>& expert, const RoutingRecord& use) {
    FfnValues v = expert(by_use(use, by_gate)[0]);
    v.scale_down(use.mean_gate());
    return v;
  };
  return r;
}

}  // namespace gamut
