// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values; some layers may slide. [Yang et al. 2024]
#include "families/dense.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "qwen2", .architecture = "Qwen2ForCausalLM", .kv_heads = 32, .max_positions = 32768, .bias = Dialect::Bias::qkv, .windows = Dialect::Windows::by_layer, .window = 4096};
constexpr GgufMapping kGguf{.architecture = "qwen2", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults};
}

Family qwen2() {
  return {
      "qwen2", "Llama with biases on queries, keys and values; the layers from max_window_layers on may see a sliding window. [Yang et al., Qwen2, 2024]",
      [](Config& cfg) { return read_dense(cfg, kDialect); },
      [](const ModelSpec& spec) { return write_dense(spec, kDialect); },
      dense_tensors, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
