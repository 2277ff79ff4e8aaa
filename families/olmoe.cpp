// OLMoE: many small experts, gates not divided by their sum, queries and keys normalised over all heads. [Muennighoff et al. 2024]
#include "families/experts.h"
#include "families/gguf.h"

namespace gamut::family {
namespace {
constexpr Dialect kDialect{.model_type = "olmoe", .architecture = "OlmoeForCausalLM", .max_positions = 4096, .norm_eps = 1e-5, .bias = Dialect::Bias::key, .qk_norm = QkNorm::all};
constexpr GgufMapping kGguf{.architecture = "olmoe", .keys = kDecoderKeys, .names = kDecoderNames, .defaults = R"({"rope_theta": 10000.0, "norm_topk_prob": false})"};
constexpr ExpertDialect kExperts{.experts = 64, .top_k = 8, .balance_loss = 0.01, .normalise_key = "norm_topk_prob", .normalise = false};
}  // namespace

Family olmoe() {
  return {"olmoe",
          "A mixture of many small experts in every layer, gates not divided by their sum; RMSNorm of queries and keys over all heads. [Muennighoff et al., "
          "OLMoE, 2024]",
          [](Config& cfg) {
            ModelSpec spec = read_sparse(cfg, kDialect, kExperts);
            if (const auto clip = cfg.take_in<double>("clip_qkv", 0, 0, 1e9); clip > 0)
              for (LayerSpec& layer : spec.layers) layer.mixer.options["clip"] = clip;
            return spec;
          },
          [](const ModelSpec& spec) {
            ModelSpec rest = spec;
            const double clip = spec.layers[0].mixer.options.value("clip", 0.0);
            for (LayerSpec& layer : rest.layers)
              if (layer.mixer.options.value("clip", 0.0) == clip) layer.mixer.options.erase("clip");
            Family::Written written = write_sparse(rest, kDialect, kExperts);
            if (written.obstacle.empty() && clip > 0) written.config["clip_qkv"] = clip;
            return written;
          },
          [](const Model& model, const TensorNames& present) { return sparse_tensors(model, present, kExperts); },
          skeleton_ignores,
          nullptr,
          &kGguf};
}

}  // namespace gamut::family
