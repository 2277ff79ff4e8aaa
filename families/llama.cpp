// Llama: dense pre-norm decoder, rotary grouped-query attention, gated feed-forward layers. [Touvron et al. 2023]
#include "families/dense.h"

namespace gamut {

const Family kLlama{
    "llama", "Dense decoder: RMSNorm before each block, grouped-query attention with rotary positions, gated feed-forward layers. [Touvron et al., LLaMA, 2023]",
    [](Config& cfg) { return read_dense(cfg, {}); },
    [](const ModelSpec& spec) { return write_dense(spec, "llama", "LlamaForCausalLM", false); },
    dense_tensors, skeleton_ignores};

}  // namespace gamut
