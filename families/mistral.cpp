// Mistral: Llama without biases whose positions see a sliding window. [Jiang et al. 2023]
#include "families/dense.h"

namespace gamut {

const Family kMistral{
    "mistral", "Llama whose positions see a sliding window of the text before them. [Jiang et al., Mistral 7B, 2023]",
    [](Config& cfg) {
      return read_dense(cfg, {.kv_heads = 8, .norm_eps = 1e-6, .rope_theta = 10000.0, .max_positions = 4096 * 32});
    },
    [](const ModelSpec& spec) { return write_dense(spec, "mistral", "MistralForCausalLM", true); },
    dense_tensors, skeleton_ignores};

}  // namespace gamut
