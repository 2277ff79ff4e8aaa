// Qwen3: Llama with RMSNorm on every query and key head. [Yang et al. 2025]
#include "families/dense.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "qwen3", .architecture = "Qwen3ForCausalLM", .kv_heads = 32, .head_dim = 128, .max_positions = 32768, .bias = Dialect::Bias::key, .qk_norm = QkNorm::head,
                           .windows = Dialect::Windows::by_layer, .window = 4096};
constexpr GgufMapping kGguf{.architecture = "qwen3", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults};
}

Family qwen3() {
  return {
      "qwen3", "Llama with RMSNorm on every query and key head before rotation. [Yang et al., Qwen3, 2025]",
      [](Config& cfg) { return read_dense(cfg, kDialect); },
      [](const ModelSpec& spec) { return write_dense(spec, kDialect); },
      dense_tensors, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
