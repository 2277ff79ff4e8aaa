// GLM-4.5 and Solar Open: experts as DeepSeek V3 chooses them; half of each head rotates, or all of it. [GLM Team 2025]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts = deepseek_experts(128, 8, 1408);

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 151552, .layers = 46, .heads = 96, .kv_heads = 8, .positions = 131072, .eps = 1e-5}, {.hidden = nullptr});
  k.flag("attention_bias", d, &AttentionOptions::bias, false);
  sparse_keys(k, d, kExperts, {.dense_hidden = 10944, .first_sparse = 1});
  bool normalised = d.attention[0].qk_norm == QkNorm::head;
  k.flag("use_qk_norm", normalised, false);
  further_layer(k, d);
  rotation(k, d, 10000, true, 0.5);
  common(k, d, false);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) a.qk_norm = normalised ? QkNorm::head : QkNorm::none;
}
constexpr DecoderFamily kFamily{"glm4_moe", "Glm4MoeForCausalLM", keys, {.further_layer = true}, nullptr, &kExperts};

constexpr ExpertDialect kSolarExperts = deepseek_experts(128, 8, 1280);
// Every layer is sparse.
void solar_keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 196608, .layers = 48, .heads = 64, .kv_heads = 8, .head_dim = 128, .positions = 131072, .eps = 1e-5}, {.hidden = nullptr});
  k.flag("attention_bias", d, &AttentionOptions::bias, false);
  sparse_keys(k, d, kSolarExperts, {});
  if (k.reading() && !d.sparse[0]) k.config().reject("first_k_dense_replace", "names dense layers, which this family does not have", "0 is supported");
  if (!k.reading())  // of dense layers
    for (const char* key : {"first_k_dense_replace", "intermediate_size"}) k.json().erase(key);
  rotation(k, d, 1e6, true);
  common(k, d, false);
}
constexpr DecoderFamily kSolar{"solar_open", "SolarOpenForCausalLM", solar_keys, {}, nullptr, &kSolarExperts};

}  // namespace

Family glm4_moe() {
  return decoder_family<kFamily>("Experts chosen by a sigmoid and a bias, beside a shared one; half of each head rotates. [GLM Team, GLM-4.5, 2025]");
}
Family solar_open() {
  return decoder_family<kSolar>("Experts chosen by a sigmoid and a bias, beside a shared one, in every layer. [Upstage, Solar Open, 2026]");
}

}  // namespace gamut::family
