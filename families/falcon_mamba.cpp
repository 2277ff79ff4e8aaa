// Falcon Mamba: Mamba with Δ, B and C normalised without gains. [Zuo et al. 2024]
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {
const MambaKeys kKeys{"conv_kernel", "state_size", "time_step_rank", "expand", "use_conv_bias", "use_bias", "plain", "mixer_rms_eps"};
}  // namespace

Family falcon_mamba() {
  return {
      "falcon_mamba", "Mamba with Δ, B and C normalised without gains. [Zuo et al., Falcon Mamba, 2024]",
      [](Config& cfg) { return read_mamba_model(cfg, kKeys, true); },
      [](const ModelSpec& spec) { return write_mamba_model(spec, kKeys, "falcon_mamba", "FalconMambaForCausalLM"); },
      mamba_model_tensors, mamba_model_ignores};
}

}  // namespace gamut::family
