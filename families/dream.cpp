// Dream: Qwen2 without causal mask, trained by masked diffusion; a token is predicted at the position before it. [Ye et al., Dream 7B, 2025]
#include "families/dense.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "Dream", .architecture = "DreamModel", .kv_heads = 32, .max_positions = 32768, .bias = Dialect::Bias::qkv, .windows = Dialect::Windows::switched, .window = 4096};
}

Family dream() {
  return {
      "Dream", "Qwen2 without a causal mask, trained by masked diffusion with shifted predictions. [Ye et al., Dream 7B, 2025]",
      [](Config& cfg) {
        const auto mask = cfg.take_in<int32_t>("mask_token_id", 0, 1 << 30);
        ModelSpec spec = read_dense(cfg, kDialect);
        spec.objective = {"masked_diffusion", {{"specials", {mask}}, {"shift", true}}};
        return spec;
      },
      [](const ModelSpec& spec) { return write_diffusion(spec, true, [](const ModelSpec& causal) { return write_dense(causal, kDialect); }); },
      dense_tensors, skeleton_ignores};
}

}  // namespace gamut::family
