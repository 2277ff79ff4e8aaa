// Mixtral: Mistral's skeleton with a mixture of experts in every layer. [Jiang et al., Mixtral of Experts, 2024]
#include "families/experts.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "mixtral", .architecture = "MixtralForCausalLM", .kv_heads = 8, .max_positions = 4096 * 32, .norm_eps = 1e-5, .rope_theta = 1e6, .windows = Dialect::Windows::all};
constexpr GgufMapping kGguf{.architecture = "llama", .needs = "expert_count", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = kDecoderDefaults, .neighbours = true};
constexpr ExpertDialect kExperts{.count_key = "num_local_experts", .module = "block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"};
}  // namespace

Family mixtral() {
  return {
      "mixtral", "Mistral's skeleton with a mixture of experts in every layer: softmax top-k, gates divided by their sum. [Jiang et al., Mixtral of Experts, 2024]",
      [](Config& cfg) {
        cfg.ignore("router_jitter_noise", "noise in training of the original");
        return read_sparse(cfg, kDialect, kExperts);
      },
      [](const ModelSpec& spec) { return write_sparse(spec, kDialect, kExperts); },
      [](const Model& model, const TensorNames& present) { return sparse_tensors(model, present, kExperts); }, skeleton_ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
