#include "families/family.h"

namespace gamut {

// One name each: family::NAME() in families/NAME.cpp. In this order a family is sought that can express a model to be written; gamut expresses all.
#define GAMUT_FAMILIES(FAMILY) \
  FAMILY(llama) FAMILY(mistral) FAMILY(qwen2) FAMILY(qwen3) FAMILY(mixtral) FAMILY(olmoe) FAMILY(qwen3_moe) FAMILY(gpt2) \
  FAMILY(mamba) FAMILY(falcon_mamba) FAMILY(mamba2) FAMILY(jamba) FAMILY(qwen3_next) FAMILY(rwkv7) FAMILY(rnn_lm) FAMILY(llada) FAMILY(dream) \
  FAMILY(t5) FAMILY(mt5) FAMILY(umt5) FAMILY(switch_transformers) FAMILY(bart) FAMILY(mbart) FAMILY(bert) FAMILY(roberta) FAMILY(xlm_roberta) FAMILY(camembert) FAMILY(distilbert) \
  FAMILY(gemma) FAMILY(gemma2) FAMILY(gemma3_text) FAMILY(granite) FAMILY(glm) FAMILY(glm4) FAMILY(olmo) FAMILY(olmo2) FAMILY(olmo3) FAMILY(cohere) FAMILY(cohere2) FAMILY(stablelm) FAMILY(falcon) FAMILY(gpt_neox) \
  FAMILY(starcoder2) FAMILY(nemotron) FAMILY(smollm3) FAMILY(exaone4) FAMILY(ernie4_5) FAMILY(phi) FAMILY(phi3) FAMILY(gptj) FAMILY(bloom) FAMILY(mpt) \
  FAMILY(opt) FAMILY(gpt_neo) FAMILY(gpt_bigcode) \
  FAMILY(qwen2_moe) FAMILY(granitemoe) FAMILY(granitemoeshared) FAMILY(flex_olmo) FAMILY(dbrx) FAMILY(grok1) \
  FAMILY(deepseek) FAMILY(deepseek_v2) FAMILY(deepseek_v3) FAMILY(longcat_flash) FAMILY(solar_open) FAMILY(dots1) FAMILY(glm4_moe) FAMILY(glm4_moe_lite) FAMILY(exaone_moe) FAMILY(afmoe) FAMILY(ernie4_5_moe) \
  FAMILY(phimoe) FAMILY(gpt_oss) FAMILY(llama4_text) FAMILY(hunyuan_v1_dense) FAMILY(hunyuan_v1_moe) \
  FAMILY(marian) FAMILY(pegasus) FAMILY(m2m_100) FAMILY(nllb_moe) FAMILY(minimax_m2) FAMILY(jetmoe) FAMILY(minicpm) \
  FAMILY(bamba) FAMILY(nemotron_h) FAMILY(granitemoehybrid) FAMILY(minimax) FAMILY(deepseek_v32) FAMILY(lfm2) FAMILY(lfm2_moe) FAMILY(kimi_linear) FAMILY(kda) FAMILY(rwkv) FAMILY(rwkv5) FAMILY(rwkv6) FAMILY(gla) FAMILY(retnet) FAMILY(delta_net) FAMILY(gated_deltanet) \
  FAMILY(gamut)

#define GAMUT_DECLARE(name) Family name();
namespace family {
GAMUT_FAMILIES(GAMUT_DECLARE)
}

#define GAMUT_ROW(name) family::name(),
const std::vector<Family>& families() {
  static const std::vector<Family> rows{GAMUT_FAMILIES(GAMUT_ROW)};
  return rows;
}

const Family& family_for(const ModelSpec& spec) {
  for (const Family& family : families())
    if (!family.write(spec).config.is_null()) return family;
  return families().back();
}

}  // namespace gamut
