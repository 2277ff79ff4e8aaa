// Qwen3-MoE: Qwen3's attention with a mixture of experts in every layer or every n-th. [Yang et al. 2025]
#include "families/experts.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "qwen3_moe", .architecture = "Qwen3MoeForCausalLM", .kv_heads = 4, .max_positions = 32768, .bias = Dialect::Bias::key, .qk_norm = QkNorm::head,
                           .windows = Dialect::Windows::switched, .window = 4096};
constexpr GgufMapping kGguf{.architecture = "qwen3moe", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = R"({"rope_theta": 10000.0, "norm_topk_prob": true})"};
constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size", .experts = 128, .top_k = 8, .normalise_key = "norm_topk_prob", .normalise = false, .dense_layers = true};
}  // namespace

Family qwen3_moe() {
  return {
      "qwen3_moe", "Qwen3's attention with a mixture of experts in every layer, or in every decoder_sparse_step-th. [Yang et al., Qwen3, 2025]",
      [](Config& cfg) { return read_sparse(cfg, kDialect, kExperts); },
      [](const ModelSpec& spec) { return write_sparse(spec, kDialect, kExperts); },
      [](const Model& model, const TensorNames& present) { return sparse_tensors(model, present, kExperts); }, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
