// Llama: dense pre-norm decoder, rotary grouped-query attention, gated feed-forward layers. [Touvron et al. 2023]
#include "families/dense.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "llama", .architecture = "LlamaForCausalLM", .bias = Dialect::Bias::key, .whole_heads = true};
constexpr GgufMapping kGguf{.architecture = "llama", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults, .neighbours = true};
}

Family llama() {
  return {
      "llama", "Dense decoder: RMSNorm before each block, grouped-query attention with rotary positions, gated feed-forward layers. [Touvron et al., LLaMA, 2023]",
      [](Config& cfg) { return read_dense(cfg, kDialect, true); },
      [](const ModelSpec& spec) { return write_dense(spec, kDialect, true); },
      dense_tensors, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
