// Qwen3-Next: three layers of Gated DeltaNet to one of gated attention, a mixture of experts with a gated shared expert in each. [Qwen Team 2025]
#include "families/decoder.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.hidden_key = "moe_intermediate_size",
                                 .experts = 512,
                                 .top_k = 10,
                                 .hidden = 512,
                                 .normalise_key = "norm_topk_prob",
                                 .shared_hidden_key = "shared_expert_intermediate_size",
                                 .shared_hidden = 512,
                                 .shared_gate = true,
                                 .dense_hidden = 5632};

GatedDeltaNetOptions linear_options(const Component& mixer, const ModelSpec& spec) {
  Config cfg(mixer.options, {.source = "model"});
  return GatedDeltaNetOptions::take(cfg, spec);
}

// The activation behind its convolutions is that of the experts.
void linear_keys(Keys& k, PlainDecoder& d) {
  GatedDeltaNetOptions o{};
  if (!k.reading()) {
    if (!d.other || d.other->kind != "gated_deltanet") throw Error({.who = "model", .what = "no layer of Gated DeltaNet"});
    o = linear_options(*d.other, d.spec);
  }
  k.integer("linear_num_key_heads", o.key_heads, 16, 1, 65536);
  k.integer("linear_num_value_heads", o.value_heads, 32, 1, 65536);
  k.integer("linear_key_head_dim", o.key_dim, 128, 1, 65536);
  k.integer("linear_value_head_dim", o.value_dim, 128, 1, 65536);
  k.integer("linear_conv_kernel_dim", o.conv, 4, 1, 16);
  const Component said{"gated_deltanet",
                       {{"key_heads", o.key_heads},
                        {"value_heads", o.value_heads},
                        {"key_dim", o.key_dim},
                        {"value_dim", o.value_dim},
                        {"conv", o.conv},
                        {"activation", d.experts.activation}}};
  if (!k.reading() && !(o == linear_options(said, d.spec))) throw Error({.who = "model", .what = "Gated DeltaNet with an epsilon or activation of its own"});
  d.other = said;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 151936, .width = 2048, .layers = 48, .heads = 16, .kv_heads = 2, .head_dim = 256, .positions = 32768}, {.hidden = nullptr});
  biases(k, d, "attention_bias", false);
  rotation(k, d, 10000, true, 0.25);
  common(k, d, false);
  experts(k, d, kExperts);
  linear_keys(k, d);
  int64_t every = 4;
  if (k.reading()) k.integer("full_attention_interval", every, 4, 1, 4096);
  other_layers(k, d, [&](size_t layer) { return (static_cast<int64_t>(layer) + 1) % every != 0; });
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.qk_norm = QkNorm::head;
    a.gate = true;
    a.gate_bias = a.bias;
  }
}

// Rows of in_proj_qkvz and in_proj_ba are grouped by key head: its query and key, then the values and gates (β and decay) of its value heads.
void name_linear(NameMap& map, const std::string& layer, const std::string& ours, const ModelSpec& spec, size_t at) {
  const std::string theirs = layer + "linear_attn.";
  const GatedDeltaNetOptions o = linear_options(spec.layers[at].mixer, spec);
  const int64_t d = spec.width, shared = o.value_heads / o.key_heads, value_rows = shared * o.value_dim;
  StoredTensor qkvz{theirs + "in_proj_qkvz.weight", {2 * o.key_heads * o.key_dim + 2 * o.value_heads * o.value_dim, d}, {}},
      ba{theirs + "in_proj_ba.weight", {2 * o.value_heads, d}, {}};
  for (int64_t h = 0; h < o.key_heads; ++h) {
    for (const char* name : {"query", "key"}) qkvz.parts.push_back({ours + name, h * o.key_dim * d, o.key_dim * d});
    for (const char* name : {"value", "gate"}) qkvz.parts.push_back({ours + name, h * value_rows * d, value_rows * d});
    for (const char* name : {"beta", "decay"}) ba.parts.push_back({ours + name, h * shared * d, shared * d});
  }
  map.add(std::move(qkvz));
  map.add(std::move(ba));
  map.stacked(theirs + "conv1d.weight", {ours + "query_conv", ours + "key_conv", ours + "value_conv"},
              {2 * o.key_heads * o.key_dim + o.value_heads * o.value_dim, 1, o.conv});
  map.whole(theirs + "A_log", ours + "decay_rate");
  map.whole(theirs + "dt_bias", ours + "decay_bias");
  map.whole(theirs + "norm.weight", ours + "norm");
  map.whole(theirs + "out_proj.weight", ours + "output");
}

// Multi-token prediction is a model beside this one.
constexpr DecoderFamily kFamily{.model_type = "qwen3_next",
                                .architecture = "Qwen3NextForCausalLM",
                                .keys = keys,
                                .names = {.gated_query = true, .centre = 1, .beside = "mtp."},
                                .experts = &kExperts,
                                .other = name_linear};

}  // namespace

Family qwen3_next() {
  return decoder_family<kFamily>(
      "Three layers of Gated DeltaNet to one of gated attention, each with a mixture of experts and a gated shared expert. [Qwen Team, Qwen3-Next, 2025]");
}

}  // namespace gamut::family
