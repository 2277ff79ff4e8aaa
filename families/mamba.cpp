// Mamba: selective state spaces alone. [Gu & Dao 2023]
#include "families/mamba_layers.h"

namespace gamut::family {
namespace {
const MambaKeys kKeys{"conv_kernel", "state_size", "time_step_rank", "expand", "use_conv_bias", "use_bias", "none", nullptr};
}  // namespace

Family mamba() {
  return {
      "mamba", "Selective state-space layers and nothing else: constant memory, no positions. [Gu & Dao, Mamba, 2023]",
      [](Config& cfg) { return read_mamba_model(cfg, kKeys, true); },
      [](const ModelSpec& spec) { return write_mamba_model(spec, kKeys, "mamba", "MambaForCausalLM"); },
      mamba_model_tensors, mamba_model_ignores};
}

}  // namespace gamut::family
