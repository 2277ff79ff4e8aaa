// The mean of all experts' weights: exact where they are alike, a start for training where they come from one parent.
#include "modules/conversions/conversion.h"

namespace gamut {

Reduction build_merge(Config& cfg, int64_t experts, int64_t hidden) {
  const std::string by = cfg.take_choice("by", "gate", {"gate", "load", "uniform"});
  Reduction r{.hidden = hidden};
  r.dense = [=](const std::function<FfnValues(int64_t)>& expert, const RoutingRecord& use) {
    std::vector<double> weight(static_cast<size_t>(experts), 1.0);
    if (by == "gate") weight = use.gate_E;
    if (by == "load") weight.assign(use.load_E.begin(), use.load_E.end());
    double sum = 0;
    for (const double w : weight) sum += w;
    if (sum == 0) weight.assign(weight.size(), 1.0), sum = static_cast<double>(experts);  // nothing was used
    FfnValues mean;
    for (int64_t e = 0; e < experts; ++e) {
      const FfnValues v = expert(e);
      if (e == 0) mean = {.hidden = v.hidden, .width = v.width};
      const auto add = [&](std::vector<double>& to, const std::vector<double>& values) {
        to.resize(values.size());
        for (size_t i = 0; i < values.size(); ++i) to[i] += weight[static_cast<size_t>(e)] / sum * values[i];
      };
      add(mean.gate, v.gate);
      add(mean.up, v.up);
      add(mean.down, v.down);
      add(mean.gate_bias, v.gate_bias);
      add(mean.up_bias, v.up_bias);
      add(mean.down_bias, v.down_bias);
    }
    mean.scale_down(use.mean_gate());
    return mean;
  };
  return r;
}

}  // namespace gamut
