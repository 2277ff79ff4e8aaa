// Mistral: Llama without biases whose positions see a sliding window. [Jiang et al. 2023]
#include "families/dense.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "mistral", .architecture = "MistralForCausalLM", .kv_heads = 8, .max_positions = 4096 * 32, .windows = Dialect::Windows::all, .window = 4096};
constexpr GgufMapping kGguf{.architecture = "llama", .needs = "attention.sliding_window", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults, .neighbours = true};
}

Family mistral() {
  return {
      "mistral", "Llama whose positions see a sliding window of the text before them. [Jiang et al., Mistral 7B, 2023]",
      [](Config& cfg) { return read_dense(cfg, kDialect); },
      [](const ModelSpec& spec) { return write_dense(spec, kDialect); },
      dense_tensors, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
