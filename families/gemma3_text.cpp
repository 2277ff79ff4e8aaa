// Gemma 3, the text model: queries and keys normalised; five sliding layers with rotation of their own to one that sees all. [Gemma Team 2025]
#include <cmath>

#include "families/decoder.h"

namespace gamut::family {
namespace {

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 262208, .width = 2304, .layers = 26, .heads = 8, .kv_heads = 4, .head_dim = 256, .hidden = 9216, .positions = 131072});
  k.activation("hidden_activation", d, "gelu_pytorch_tanh");
  bool both_ways = d.spec.objective.kind == "mlm";  // as embedding models look; the window's key then counts both sides
  k.flag("use_bidirectional_attention", both_ways, false);
  if (both_ways) d.spec.objective = {"mlm"};
  const auto turn_windows = [&](auto turn) {
    for (AttentionOptions& a : d.attention)
      if (both_ways && a.window > 0) a.window = turn(a.window);
  };
  k.ignore({"cache_implementation"}, "how others keep keys and values");
  biases(k, d, "attention_bias", false);
  query_scalar(k, d, 256);
  int64_t pattern = 6;
  if (k.reading())
    for (const char* key : {"_sliding_window_pattern", "sliding_window_pattern"}) pattern = k.config().take_in<int64_t>(key, pattern, 1, 4096);
  if (!k.reading()) turn_windows([](int64_t window) { return 2 * (window - 1); });
  windows(k, d, 4096, [&](size_t layer) { return (static_cast<int64_t>(layer) + 1) % pattern != 0; });
  turn_windows([](int64_t window) { return window / 2 + 1; });
  k.ignore({"attn_logit_softcapping"}, "not used by the reference");
  k.number_or_null("final_logit_softcapping", d.logit_softcap, 0);
  rotation_by_window(k, d, 1e6, 1e4);
  common(k, d, true);
  if (!k.reading()) return;
  d.spec.embedding_scale = std::sqrt(static_cast<double>(d.spec.width));
  d.spec.placement = NormPlacement::both;
  for (AttentionOptions& a : d.attention) a.qk_norm = QkNorm::head;
}
constexpr DecoderFamily kFamily{"gemma3_text", "Gemma3ForCausalLM", keys,
                                {.mixer_post_norm = "post_attention_layernorm", .channel_norm = "pre_feedforward_layernorm", .channel_post_norm = "post_feedforward_layernorm", .centre = 1}};

}  // namespace

Family gemma3_text() {
  return decoder_family<kFamily>("Gemma 2 with normalised queries and keys and no caps; five layers with a short window and fast rotation to one that sees all. [Gemma Team, Gemma 3, 2025]");
}

}  // namespace gamut::family
