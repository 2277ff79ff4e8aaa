// MiniCPM: Llama with factors on embedding, branches and logits, dense or with experts in every layer. [Hu et al. 2024]
#include <cmath>

#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden = 5760, .balance_key = nullptr, .gate = "w1", .up = "w3", .down = "w2"};

// What divided by `divisor` is `quotient`.
double product(double quotient, double divisor) {
  const double near = quotient * divisor;
  for (const double x : {near, std::nextafter(near, 0.0), std::nextafter(near, 1e300)})
    if (x / divisor == quotient) return x;
  return near;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.kv_heads = 0, .positions = 2048}, {.head_dim = nullptr, .hidden = nullptr});
  biases(k, d, "attention_bias", false);
  rotation(k, d);
  common(k, d, true);
  k.ignore({"auto_map"}, "says nothing about what is computed");
  const double root = std::sqrt(static_cast<double>(d.attention.size())), width = static_cast<double>(d.spec.width);
  double depth = product(d.spec.residual_scale, root), base = product(d.logit_scale, width);
  k.number("scale_emb", d.spec.embedding_scale, 1);
  k.number("scale_depth", depth, 1);
  k.number("dim_model_base", base, 1, 1e-9, 1e9);
  if (k.reading()) {
    d.spec.residual_scale = depth / root;
    d.logit_scale = base / width;
  }
  int64_t count = d.sparse.empty() ? 0 : d.experts.count;
  if (k.reading()) count = k.config().take_in<int64_t>("num_experts", 0, 0, 1 << 16);
  if (count > 0) return experts(k, d, kExperts);
  k.integer("intermediate_size", d.hidden, 11008);
  k.activation("hidden_act", d, "silu");
  k.integer("num_experts", count, 0, 0, 1 << 16);
  k.ignore({"num_experts_per_tok"}, "there are no experts");
}
constexpr DecoderFamily kFamily{"minicpm", "MiniCPMForCausalLM", keys, {}, nullptr, &kExperts};

}  // namespace

Family minicpm() {
  return decoder_family<kFamily>(
      "Llama with a factor each on the embedding, on what blocks add and on logits; dense, or with a mixture of experts in every layer. [Hu et al., MiniCPM, "
      "2024]");
}

}  // namespace gamut::family
