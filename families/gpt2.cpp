// GPT-2: learned positions, LayerNorm with biases, plain feed-forward layers, tied embedding. [Radford et al. 2019]
#include <cmath>

#include "families/gguf.h"
#include "families/skeleton.h"

namespace gamut::family {
namespace {

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 50257, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("n_embd", 768, 1, 1 << 20);
  spec.max_positions = cfg.take_in<int64_t>("n_positions", cfg.take_in<int64_t>("n_ctx", 1024, 1, 1 << 24), 1, 1 << 24);
  spec.positions = "learned";
  spec.norm = "layer";
  spec.norm_eps = cfg.take_in<double>("layer_norm_epsilon", 1e-5, 0, 1);
  take_common(cfg, spec, true);
  const auto heads = cfg.take_in<int64_t>("n_head", 12, 1, 65536);
  if (spec.width % heads != 0) cfg.reject("n_head", "must divide n_embd (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  const Component ffn{"ffn", {{"hidden", cfg.take_in<int64_t>("n_inner", 4 * spec.width, 1, int64_t{1} << 24)}, {"activation", take_activation(cfg, "activation_function", "gelu_new")},
                              {"gated", false}, {"bias", true}}};
  const bool scaled = cfg.take<bool>("scale_attn_weights", true), by_layer = cfg.take<bool>("scale_attn_by_inverse_layer_idx", false);
  const auto layers = cfg.take_in<int64_t>("n_layer", 12, 1, 4096);
  for (int64_t i = 0; i < layers; ++i) {
    Component attention{"attention", {{"heads", heads}, {"rope", false}, {"bias", true}}};
    if (!scaled || by_layer)
      attention.options["scale"] = (scaled ? 1 / std::sqrt(static_cast<double>(spec.width / heads)) : 1.0) / (by_layer ? static_cast<double>(i + 1) : 1.0);
    spec.layers.push_back({attention, ffn});
  }
  if (cfg.take<bool>("add_cross_attention", false)) cfg.reject("add_cross_attention", "asks for cross-attention, which this family does not have here");
  cfg.ignore("reorder_and_upcast_attn", "the order of rounding: attention is computed in f32");
  for (const char* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop", "task_specific_params"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}) cfg.ignore(key, "another head");
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "layer" || spec.placement != NormPlacement::pre) return cannot("norms other than LayerNorm before each block");
  if (spec.positions != "learned") return cannot("positions that are not learned");
  if (spec.embedding_scale != 1) return cannot("a scaled embedding");
  if (const std::string more = beyond_decoder(spec); !more.empty()) return cannot(more);
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != "attention" || layer.channel.kind != "ffn" || !(layer == spec.layers[0])) return cannot("layers other than attention and ffn, all alike");
  const AttentionOptions a = attention_options(spec, 0);
  const auto ffn = options_of<FfnOptions>(spec.layers[0].channel);
  const std::string activation = activation_key(spec.layers[0].channel.options.value("activation", "silu"));
  if (a.rope || a.window > 0 || a.qk_norm != QkNorm::none || a.kv_heads != a.heads || a.head_dim * a.heads != spec.width || a.scale != 1.0 / std::sqrt(static_cast<double>(a.head_dim)))
    return cannot("attention other than plain multi-head attention");
  if (!a.bias || !a.output_bias || !ffn.bias) return cannot("layers without biases");
  if (ffn.gated || activation.empty()) return cannot("gated feed-forward layers");
  return {{{"architectures", {"GPT2LMHeadModel"}}, {"model_type", "gpt2"}, {"vocab_size", spec.vocab}, {"n_embd", spec.width}, {"n_layer", spec.layers.size()}, {"n_head", a.heads},
           {"n_inner", ffn.hidden}, {"n_positions", spec.max_positions}, {"activation_function", activation}, {"layer_norm_epsilon", spec.norm_eps}, {"initializer_range", spec.init_std},
           {"tie_word_embeddings", spec.tied}, {"use_cache", true}, {"torch_dtype", dtype_key(spec.dtype)}},
          ""};
}

// The projections are stored as the transpose of ours (Conv1D), queries, keys and values as one. Files may leave out the prefix `transformer.`.
std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  const std::string root = present.contains("wte.weight") ? "" : "transformer.";
  const auto norm = [&](const std::string& theirs, const std::string& ours) {
    map.whole(root + theirs + ".weight", ours);
    map.whole(root + theirs + ".bias", ours + "_bias");
  };
  const auto projection = [&](const std::string& theirs, const std::vector<std::string>& ours) {
    const int64_t in = map.shape(ours[0])[1];
    StoredTensor weight{root + theirs + ".weight", {in, 0}, {}}, bias{root + theirs + ".bias", {0}, {}};
    weight.transposed = true;
    for (const std::string& name : ours) {
      const int64_t out = map.shape(name)[0];
      weight.shape[1] += out;
      weight.parts.push_back({name, 0, out * in});
      bias.shape[0] += out;
      bias.parts.push_back({name + "_bias", 0, out});
    }
    map.add(std::move(weight));
    map.add(std::move(bias));
  };
  map.whole(root + "wte.weight", "embedding");
  map.whole(root + "wpe.weight", "positions");
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    const std::string theirs = "h." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    norm(theirs + "ln_1", ours + "mixer_norm");
    projection(theirs + "attn.c_attn", {ours + "mixer.query", ours + "mixer.key", ours + "mixer.value"});
    projection(theirs + "attn.c_proj", {ours + "mixer.output"});
    norm(theirs + "ln_2", ours + "channel_norm");
    projection(theirs + "mlp.c_fc", {ours + "channel.gate"});
    projection(theirs + "mlp.c_proj", {ours + "channel.down"});
  }
  norm("ln_f", "final_norm");
  if (!model.spec().tied) map.whole("lm_head.weight", "head");
  return map.take();
}

// Causal masks that older files hold, and the head of a model whose head is the embedding.
bool ignores(const ModelSpec& spec, const std::string& tensor) {
  return tensor.ends_with(".attn.bias") || tensor.ends_with(".attn.masked_bias") || (spec.tied && tensor == "lm_head.weight");
}

constexpr std::array kKeys{GgufKey{"context_length", "n_positions", true},      GgufKey{"embedding_length", "n_embd", true},
                           GgufKey{"block_count", "n_layer", true},            GgufKey{"feed_forward_length", "n_inner", true},
                           GgufKey{"attention.head_count", "n_head", true},    GgufKey{"attention.layer_norm_epsilon", "layer_norm_epsilon", true}};
constexpr std::array kNames{GgufName{"transformer.wte", "token_embd"},
                            GgufName{"transformer.wpe", "position_embd"},
                            GgufName{"transformer.h.*.ln_1", "blk.*.attn_norm"},
                            GgufName{"transformer.h.*.attn.c_attn", "blk.*.attn_qkv"},
                            GgufName{"transformer.h.*.attn.c_proj", "blk.*.attn_output"},
                            GgufName{"transformer.h.*.ln_2", "blk.*.ffn_norm"},
                            GgufName{"transformer.h.*.mlp.c_fc", "blk.*.ffn_up"},
                            GgufName{"transformer.h.*.mlp.c_proj", "blk.*.ffn_down"},
                            GgufName{"transformer.ln_f", "output_norm"},
                            GgufName{"lm_head", "output"}};
constexpr GgufMapping kGguf{.architecture = "gpt2", .keys = kKeys, .names = kNames};

}  // namespace

Family gpt2() {
  return {
      "gpt2", "Learned positions, LayerNorm before each block, multi-head attention and plain GELU layers with biases, tied embedding. [Radford et al., GPT-2, 2019]",
                     read, write, tensors, ignores, nullptr, &kGguf};
}

}  // namespace gamut::family
