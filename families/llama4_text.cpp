// Llama 4: layers that rotate and see their chunk alone, some that see all without positions; gates multiply what experts read. [Meta 2025]
#include <algorithm>

#include "families/decoder.h"

namespace gamut::family {
namespace {

constexpr ExpertDialect kExperts{.count_key = "num_local_experts",
                                 .experts = 16,
                                 .top_k = 1,
                                 .hidden = 8192,
                                 .balance_key = nullptr,
                                 .normalise = false,
                                 .score = "sigmoid",
                                 .weigh_input = true,
                                 .module = "feed_forward",
                                 .router = "router",
                                 .layout = ExpertDialect::Layout::columns};

// A list with an entry for each layer, or what `usual` says.
std::vector<int64_t> numbers(Keys& k, const char* key, const PlainDecoder& d, const std::function<int64_t(int64_t)>& usual) {
  auto given = k.config().take<std::vector<int64_t>>(key, {});
  const auto layers = static_cast<int64_t>(d.attention.size());
  if (given.empty())
    for (int64_t i = 0; i < layers; ++i) given.push_back(usual(i));
  if (static_cast<int64_t>(given.size()) != layers)
    k.config().reject(key, "names " + std::to_string(given.size()) + " layers, there are " + std::to_string(layers));
  return given;
}

void read_layers(Keys& k, PlainDecoder& d) {
  Config& cfg = k.config();
  const auto interval = cfg.take_in<int64_t>("no_rope_layer_interval", 4, 1, 4096);
  const std::vector<int64_t> turns = numbers(k, "no_rope_layers", d, [&](int64_t i) { return (i + 1) % interval != 0; });
  const auto types = cfg.take<std::vector<std::string>>("layer_types", {});
  if (!types.empty() && types.size() != turns.size())
    cfg.reject("layer_types", "names " + std::to_string(types.size()) + " layers, there are " + std::to_string(turns.size()));
  const auto chunk = cfg.take_in<int64_t>("attention_chunk_size", cfg.is_null("attention_chunk_size") ? 0 : 8192, 0, int64_t{1} << 40);
  const bool normed = cfg.take<bool>("use_qk_norm", true), tempered = cfg.take<bool>("attn_temperature_tuning", true);
  const auto span = cfg.take_in<int64_t>("floor_scale", 8192, 1, int64_t{1} << 40);
  const auto strength = cfg.take_in<double>("attn_scale", 0.1, 0, 1e6);
  for (size_t i = 0; i < turns.size(); ++i) {
    AttentionOptions& a = d.attention[i];
    if (!types.empty() && types[i] != "chunked_attention" && types[i] != "full_attention")
      cfg.reject("layer_types", "holds '" + types[i] + "'; expected chunked_attention or full_attention");
    if (types.empty() ? turns[i] != 0 : types[i] == "chunked_attention") a.chunk = chunk;
    a.interleaved = turns[i] != 0;
    if (turns[i] != 0 && normed) {
      a.qk_norm = QkNorm::head;
      a.norm_rotated = true;
      a.norm_gain = false;
    }
    if (turns[i] == 0 && tempered) {
      a.temperature = strength;
      if (strength > 0) a.temperature_span = span;
    }
  }
  still_where(d, [&](size_t i) { return turns[i] == 0; });
  const auto every = cfg.take_in<int64_t>("interleave_moe_layer_step", 1, 1, 4096);
  const bool named = cfg.has("moe_layers") && !cfg.is_null("moe_layers");
  const auto sparse = cfg.take<std::vector<int64_t>>("moe_layers", {});
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    d.sparse.push_back(named ? std::find(sparse.begin(), sparse.end(), layer) != sparse.end() : (layer + 1) % every == 0);
  }
}

void write_layers(Keys& k, const PlainDecoder& d) {
  Json turns = Json::array(), types = Json::array(), sparse = Json::array();
  int64_t chunk = 0, span = 8192;
  bool normed = false;
  double strength = 0;
  for (size_t i = 0; i < d.attention.size(); ++i) {
    const AttentionOptions& a = d.attention[i];
    turns.push_back(a.rope ? 1 : 0);
    types.push_back(a.chunk > 0 ? "chunked_attention" : "full_attention");
    chunk = std::max(chunk, a.chunk);
    normed |= a.qk_norm != QkNorm::none;
    if (a.temperature > 0) {
      strength = a.temperature;
      span = a.temperature_span;
    }
    if (!d.sparse.empty() && d.sparse[i]) sparse.push_back(i);
  }
  k.json().update({{"no_rope_layers", turns},
                   {"layer_types", types},
                   {"moe_layers", sparse},
                   {"attention_chunk_size", chunk > 0 ? Json(chunk) : Json()},
                   {"use_qk_norm", normed},
                   {"attn_temperature_tuning", strength > 0},
                   {"attn_scale", strength},
                   {"floor_scale", span}});
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 202048, .width = 5120, .layers = 48, .heads = 40, .kv_heads = 8, .head_dim = 128, .hidden = 16384, .positions = 4096 * 32, .eps = 1e-5},
        {.hidden = "intermediate_size_mlp"});
  if (!k.reading() && d.hidden == 0) k.json()["intermediate_size_mlp"] = d.experts.hidden;  // there are no dense layers
  biases(k, d, "attention_bias", false);
  rotation(k, d, 500000);
  if (k.reading())
    read_layers(k, d);
  else
    write_layers(k, d);
  expert_keys(k, d.experts, kExperts);
  k.activation("hidden_act", d, "silu");
  k.ignore({"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"}, "the reference has no such loss or noise here");
  k.ignore({"for_llm_compressor", "attn_implementation"}, "says nothing about what is computed");
  common(k, d, false);
  if (k.reading()) d.experts.shared_hidden = d.experts.hidden;
}
constexpr DecoderFamily kFamily{"llama4_text", "Llama4ForCausalLM",
                                keys,          {.gate = "feed_forward.gate_proj", .up = "feed_forward.up_proj", .down = "feed_forward.down_proj"},
                                nullptr,       &kExperts};

}  // namespace

Family llama4_text() {
  return decoder_family<kFamily>(
      "Layers that rotate and see their own chunk of the text, between them some that see all without positions; one of several experts beside a shared one, "
      "gates multiply what experts read. "
      "[Meta, Llama 4, 2025]");
}

}  // namespace gamut::family
