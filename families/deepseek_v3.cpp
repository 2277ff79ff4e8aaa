// DeepSeek V3 and Kimi K2: latent attention; experts chosen by a sigmoid and a bias of choices, within the best groups. [DeepSeek-AI 2024]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts = deepseek_experts(256, 8, 2048, 2.5);

// Pairs of neighbours rotate, or halves.
void interleave(Keys& k, PlainDecoder& d) {
  bool interleaved = !k.reading() && d.latent->interleaved;
  k.flag("rope_interleave", interleaved, true);
  if (k.reading()) d.latent->interleaved = interleaved;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 129280, .width = 7168, .layers = 61, .heads = 128, .head_dim = 64, .positions = 4096}, kLatentSizes);
  sparse_keys(k, d, kExperts, {.dense_hidden = 18432, .group_count = 8, .kept_count = 4, .first_sparse = 3});
  k.only("scoring_func", "sigmoid", "another score of experts");
  k.only("topk_method", "noaux_tc", "another choice of experts");
  k.only("moe_layer_freq", 1, "dense layers between sparse ones");
  further_layer(k, d);
  rotation(k, d);
  latent_keys(k, d, {});
  interleave(k, d);
  common(k, d, false);
}
constexpr DecoderFamily kFamily{"deepseek_v3", "DeepseekV3ForCausalLM", keys, {.further_layer = true}, nullptr, &kExperts};

// The indexer's rotation is in halves, whatever that of the heads.
void indexed_keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 129280, .width = 7168, .layers = 61, .heads = 128, .head_dim = 64, .positions = 163840}, kLatentSizes);
  sparse_keys(k, d, kExperts, {.dense_hidden = 18432, .group_count = 8, .kept_count = 4, .first_sparse = 3, .types = "mlp_layer_types"});
  k.only("scoring_func", "sigmoid", "another score of experts");
  k.only("topk_method", "noaux_tc", "another choice of experts");
  k.only("moe_layer_freq", 1, "dense layers between sparse ones");
  further_layer(k, d);
  rotation(k, d);
  latent_keys(k, d, {});
  IndexerOptions& index = d.latent->indexer;
  k.integer("index_n_heads", index.heads, 64, 1, 65536);
  k.integer("index_head_dim", index.head_dim, 128, 1, 65536);
  k.integer("index_topk", index.keys, 2048, 1, 1 << 24);
  k.ignore({"mlp_bias"}, "not used by the reference");
  common(k, d, false);
  if (!k.reading()) return;
  const MlaOptions& a = *d.latent;
  if (a.query_rank == 0) k.config().reject("q_lora_rank", "must be at least 1 where an indexer chooses keys");
  if (index.head_dim < a.rotary)
    k.config().reject("index_head_dim", "must be at least qk_rope_head_dim (" + std::to_string(a.rotary) + "), not " + std::to_string(index.head_dim));
  for (const std::string& type : k.config().take<std::vector<std::string>>("layer_types", {}))
    if (type != "indexed_attention") k.config().reject("layer_types", "holds '" + type + "'; expected indexed_attention");
}
constexpr DecoderFamily kFamilyIndexed{"deepseek_v32", "DeepseekV32ForCausalLM", indexed_keys, {.further_layer = true}, nullptr, &kExperts};

constexpr ExpertDialect kLite = deepseek_experts(64, 4, 1536, 1.8);
void lite_keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 154880, .width = 2048, .layers = 47, .heads = 20, .head_dim = 64, .positions = 202752, .eps = 1e-5}, kLatentSizes);
  sparse_keys(k, d, kLite, {.dense_hidden = 10240, .first_sparse = 1, .types = "mlp_layer_types"});
  k.only("scoring_func", "sigmoid", "another score of experts");
  k.only("topk_method", "noaux_tc", "another choice of experts");
  k.only("partial_rotary_factor", 1.0, "a rotary part of which a part rotates");
  further_layer(k, d);
  rotation(k, d);
  latent_keys(k, d, {.query_rank = 768, .nope = 192, .value = 256});
  interleave(k, d);
  common(k, d, false);
}
constexpr DecoderFamily kFamilyLite{"glm4_moe_lite", "Glm4MoeLiteForCausalLM", lite_keys, {.further_layer = true}, nullptr, &kLite};

}  // namespace

Family deepseek_v3() {
  return decoder_family<kFamily>(
      "Attention through a latent per position; experts chosen by a sigmoid and a bias within the best groups, beside a shared one. [DeepSeek-AI, DeepSeek-V3, "
      "2024]");
}
Family deepseek_v32() {
  return decoder_family<kFamilyIndexed>("DeepSeek V3 whose queries see only the keys that an indexer chooses for them. [DeepSeek-AI, DeepSeek-V3.2, 2025]");
}
Family glm4_moe_lite() { return decoder_family<kFamilyLite>("DeepSeek V3's attention and experts at a smaller size. [GLM Team, GLM-4.7-Flash, 2026]"); }

}  // namespace gamut::family
