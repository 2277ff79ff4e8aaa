// LLaDA: a Llama block without causal mask, trained by masked diffusion; names and keys of its own (from OLMo's code). [Nie et al. 2025]
#include "families/dense.h"

namespace gamut::family {
namespace {

// Keys that choose among variants of which published models use one.
struct Fixed {
  const char* key;
  Json value;
};
const std::vector<Fixed>& fixed() {
  static const std::vector<Fixed> rows{{"alibi", false}, {"attention_layer_norm", false}, {"block_type", "llama"}, {"include_bias", false}, {"layer_norm_type", "rms"}, {"rope", true},
                                       {"bias_for_layer_norm", false}, {"multi_query_attention", nullptr}, {"scale_logits", false}, {"input_emb_norm", false}, {"clip_qkv", nullptr},
                                       {"alibi_bias_max", 8.0}, {"block_group_size", 1}, {"rope_full_precision", true}, {"layer_norm_with_affine", true}, {"attention_layer_norm_with_affine", true}};
  return rows;
}

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 50257, 1, int64_t{1} << 31);
  if (const auto rows = cfg.take_in<int64_t>("embedding_size", spec.vocab, 0, int64_t{1} << 31); rows > spec.vocab) spec.vocab = rows;  // padded tables
  spec.width = cfg.take_in<int64_t>("d_model", 768, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("rms_norm_eps", 1e-5, 0, 1);
  spec.max_positions = cfg.take_in<int64_t>("max_sequence_length", 1024, 1, 1 << 24);
  take_common(cfg, spec, false);
  spec.tied = cfg.take<bool>("weight_tying", spec.tied);
  const auto heads = cfg.take_in<int64_t>("n_heads", 12, 1, 65536);
  if (spec.width % heads != 0) cfg.reject("n_heads", "must divide d_model (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  const Component attention{"attention", {{"heads", heads}, {"kv_heads", cfg.take_in<int64_t>("n_kv_heads", heads, 1, 65536)}, {"rope_theta", cfg.take_in<double>("rope_theta", 10000.0, 1e-9, 1e30)},
                                          {"bias", cfg.take<bool>("include_qkv_bias", false)}, {"output_bias", false}}};
  const auto ratio = cfg.take_in<int64_t>("mlp_ratio", 4, 1, 1 << 10);
  const Component ffn{"ffn", {{"hidden", cfg.take_in<int64_t>("mlp_hidden_size", ratio * spec.width, 1, int64_t{1} << 24)}, {"activation", take_activation(cfg, "activation_type", "silu")}}};
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("n_layers", 12, 1, 4096)), {attention, ffn});
  for (const Fixed& f : fixed())
    if (cfg.has(f.key))
      if (const Json value = cfg.take_json(f.key); value != f.value && !value.is_null()) cfg.reject(f.key, "is " + value.dump() + "; this family has " + f.value.dump());
  spec.objective = {"masked_diffusion", {{"specials", {cfg.take_in<int32_t>("mask_token_id", 0, 1 << 30)}}}};
  for (const char* key : {"attention_dropout", "embedding_dropout", "residual_dropout", "init_cutoff_factor", "init_device", "init_fn", "init_std"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"flash_attention", "precision"}) cfg.ignore(key, "how, not what, is computed");
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  return write_diffusion(spec, false, [](const ModelSpec& causal) {
    constexpr Dialect dialect{.model_type = "llada", .architecture = "LLaDAModelLM", .bias = Dialect::Bias::qkv};
    constexpr Dialect plain{.model_type = "llada", .architecture = "LLaDAModelLM"};
    const AttentionOptions a = attention_options(causal, 0);
    Family::Written written = write_dense(causal, a.bias ? dialect : plain);
    if (!written.obstacle.empty()) return written;
    if (a.head_dim * a.heads != causal.width || a.rotation.scaling.kind != "none") return Family::Written{{}, "heads of another size or scaled rotation"};
    const Json dense = std::move(written.config);
    written.config = {{"architectures", dense["architectures"]}, {"model_type", "llada"}, {"vocab_size", causal.vocab}, {"embedding_size", causal.vocab}, {"d_model", causal.width}, {"n_layers", causal.layers.size()},
                      {"n_heads", a.heads}, {"n_kv_heads", a.kv_heads}, {"mlp_hidden_size", dense["intermediate_size"]}, {"activation_type", dense["hidden_act"]}, {"include_qkv_bias", a.bias},
                      {"max_sequence_length", causal.max_positions}, {"rms_norm_eps", causal.norm_eps}, {"rope_theta", a.rotation.theta}, {"weight_tying", causal.tied}, {"torch_dtype", dense["torch_dtype"]}};
    for (const char* key : {"alibi", "attention_layer_norm", "block_type", "include_bias", "layer_norm_type", "rope"})
      for (const Fixed& f : fixed())
        if (f.key == std::string(key)) written.config[key] = f.value;
    return written;
  });
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames&) {
  NameMap map(model);
  const std::string root = "model.transformer.";
  map.whole(root + "wte.weight", "embedding");
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    const std::string theirs = root + "blocks." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    for (const auto& [their, our] : {std::pair("attn_norm", "mixer_norm"), std::pair("ff_norm", "channel_norm"), std::pair("attn_out", "mixer.output"), std::pair("ff_proj", "channel.gate"),
                                     std::pair("up_proj", "channel.up"), std::pair("ff_out", "channel.down")})
      map.whole(theirs + their + ".weight", ours + our);
    for (const auto& [their, our] : {std::pair("q_proj", "query"), std::pair("k_proj", "key"), std::pair("v_proj", "value")}) {
      map.whole(theirs + their + ".weight", ours + "mixer." + our);
      map.optional(theirs + their + ".bias", ours + "mixer." + our + "_bias");
    }
  }
  map.whole(root + "ln_f.weight", "final_norm");
  if (!model.spec().tied) map.whole(root + "ff_out.weight", "head");
  return map.take();
}

}  // namespace

Family llada() {
  return {
      "llada", "Llama blocks without a causal mask, trained by masked diffusion. [Nie et al., Large Language Diffusion Models, 2025]",
      read, write, tensors, [](const ModelSpec& spec, const std::string& tensor) { return spec.tied && tensor == "model.transformer.ff_out.weight"; }};
}

}  // namespace gamut::family
