// GPT-Neo: GPT-2 whose scores are not scaled, and every other layer sees a window. [Black et al. 2021]
#include <algorithm>

#include "families/decoder.h"

namespace gamut::family {
namespace {

// attention_types: [[kinds in turn, how often], …].
std::vector<std::string> runs(Config& cfg) {
  std::vector<std::string> kinds;
  const Json types = cfg.take_json("attention_types");
  for (const Json& run : types) {
    const bool good = types.is_array() && run.is_array() && run.size() == 2 && run[0].is_array() && run[1].is_number_integer() && run[1] >= 0 && run[1] <= 4096;
    if (!good) cfg.reject("attention_types", "must be a list of [[kinds], how often], not " + types.dump());
    for (int64_t n = 0; n < run[1].get<int64_t>(); ++n)
      for (const Json& kind : run[0]) kinds.push_back(kind.is_string() ? kind.get<std::string>() : kind.dump());
  }
  return kinds;
}

void keys(Keys& k, PlainDecoder& d) {
  sizes(k, d, {.vocab = 50257, .width = 2048, .layers = 24, .heads = 16, .hidden = 0, .eps = 1e-5},
        {.layers = "num_layers", .heads = "num_heads", .kv_heads = nullptr, .head_dim = nullptr, .eps = "layer_norm_epsilon"});
  k.activation("activation_function", d, "gelu_new");
  int64_t window = 0;
  for (const AttentionOptions& a : d.attention) window = std::max(window, a.window);
  if (!k.reading() && window == 0) window = 256;
  k.integer("window_size", window, 256);
  if (k.reading()) {
    std::vector<std::string> kinds = runs(k.config());
    for (size_t i = 0; kinds.empty() && i < d.attention.size(); ++i) kinds.push_back(i % 2 == 0 ? "global" : "local");
    kinds = k.config().take<std::vector<std::string>>("attention_layers", kinds);
    if (kinds.size() != d.attention.size()) k.config().reject("attention_types", "names " + std::to_string(kinds.size()) + " layers, there are " + std::to_string(d.attention.size()));
    for (size_t i = 0; i < kinds.size(); ++i) {
      if (kinds[i] != "global" && kinds[i] != "local") k.config().reject("attention_types", "holds '" + kinds[i] + "'; expected global or local");
      if (kinds[i] == "local") d.attention[i].window = window;
    }
  } else {
    Json kinds = Json::array();
    for (const AttentionOptions& a : d.attention) kinds.push_back(a.window > 0 ? "local" : "global");
    k.json()["attention_types"] = Json::array({Json::array({kinds, 1})});
  }
  k.ignore({"gradient_checkpointing", "task_specific_params", "tokenizer_class"}, "has no influence");
  k.ignore({"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}, "another head");
  common(k, d, true);
  if (!k.reading()) return;
  for (AttentionOptions& a : d.attention) {
    a.scale = 1;
    a.output_bias = true;
  }
  d.spec.norm = "layer";
  d.spec.positions = "learned";
  d.gated = false;
  d.ffn_bias = true;
}
constexpr DecoderFamily kFamily{"gpt_neo", "GPTNeoForCausalLM", keys,
                                {.embedding = "transformer.wte", .positions = "transformer.wpe", .layer = "transformer.h.", .final_norm = "transformer.ln_f", .mixer_norm = "ln_1",
                                 .channel_norm = "ln_2", .query = "attn.attention.q_proj", .key = "attn.attention.k_proj", .value = "attn.attention.v_proj",
                                 .output = "attn.attention.out_proj", .up = "mlp.c_fc", .down = "mlp.c_proj", .ignored = {".attention.bias", ".attention.masked_bias"}}};

}  // namespace

Family gpt_neo() { return decoder_family<kFamily>("GPT-2 whose scores are not scaled; every other layer sees a window of the text before. [Black et al., GPT-Neo, 2021]"); }

}  // namespace gamut::family
