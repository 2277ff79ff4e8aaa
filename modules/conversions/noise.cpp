// Noise on a share of each expert's weights, so that copies part sooner.
#include "modules/conversions/conversion.h"

namespace gamut {

UpcycleMethod::Change build_noise(Config& cfg) {
  const auto std = cfg.take_in<double>("noise_std", 0.02, 0.0, 1e3), share = cfg.take_in<double>("noise_share", 0.5, 0.0, 1.0);
  return [=](FfnValues& expert, const RandomStream& stream) {
    uint64_t at = 0;
    for (std::vector<double>* matrix : {&expert.gate, &expert.up, &expert.down})
      for (double& w : *matrix) {
        if (stream.uniform(2 * at) < share) w += std * stream.normal(2 * at + 1);
        ++at;
      }
  };
}

}  // namespace gamut
