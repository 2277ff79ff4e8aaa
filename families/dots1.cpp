// dots.llm1: Qwen3's attention with DeepSeek V3's experts. [rednote 2025]
#include "families/deepseek_layers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts = deepseek_experts(128, 6, 1408, 1, false);

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 152064, .width = 4608, .layers = 62}, {.hidden = nullptr});
  biases(k, d, "attention_bias", false);
  sparse_keys(k, d, kExperts, {.dense_hidden = 10944, .shared_experts = 0});
  k.only("scoring_func", "sigmoid", "another score of experts");
  int64_t first = 62;
  if (k.reading()) k.integer("max_window_layers", first, 62, 0, 4096);
  windows(k, d, 4096, [&](size_t layer) { return static_cast<int64_t>(layer) >= first; });
  rotation(k, d);
  common(k, d, false);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::head;
}
constexpr DecoderFamily kFamily{"dots1", "Dots1ForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family dots1() {
  return decoder_family<kFamily>("Queries and keys normalised; experts chosen by a sigmoid and a bias, beside shared ones. [rednote, dots.llm1, 2025]");
}

}  // namespace gamut::family
