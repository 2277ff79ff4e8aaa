#include "families/bart_layers.h"

#include <cmath>

namespace gamut {
namespace {

constexpr int64_t kOffset = 2;  // rows of a position table before the first position's

// One stack's keys: "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim".
std::vector<LayerSpec> take_stack(Config& cfg, const ModelSpec& spec, const std::string& side, const std::string& activation, bool decoder) {
  const auto heads = cfg.take_in<int64_t>(side + "_attention_heads", 16, 1, 65536);
  if (spec.width % heads != 0) cfg.reject(side + "_attention_heads", "must divide d_model (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  LayerSpec layer{{"attention", {{"heads", heads}, {"rope", false}, {"bias", true}}},
                  {"ffn", {{"hidden", cfg.take_in<int64_t>(side + "_ffn_dim", 4096, 1, int64_t{1} << 24)}, {"activation", activation}, {"gated", false}, {"bias", true}}}};
  if (decoder) layer.cross = {"cross_attention", {{"heads", heads}, {"bias", true}}};
  cfg.ignore(side + "_layerdrop", "training of the original");
  return std::vector<LayerSpec>(static_cast<size_t>(cfg.take_in<int64_t>(side + "_layers", 12, 1, 4096)), layer);
}

}  // namespace

ModelSpec read_bart(Config& cfg, const BartDialect& d) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 50265, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("d_model", 1024, 1, 1 << 20);
  spec.norm = "layer";
  spec.placement = d.placement;
  spec.positions = "learned";
  spec.position_offset = kOffset;
  spec.embedding_norm = d.embedding_norm;
  spec.heads[0].options["bias"] = "fixed";
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", 1024, 1, 1 << 24);
  spec.objective = take_seq2seq(cfg, d.start, d.end);
  take_common(cfg, spec, true);
  spec.init_std = cfg.take_in<double>("init_std", 0.02, 0, 10);
  if (!spec.tied) cfg.reject("tie_word_embeddings", "is false: embeddings that differ between encoder, decoder and head, which this family does not have here");
  if (cfg.take<bool>("scale_embedding", false)) spec.embedding_scale = std::sqrt(static_cast<double>(spec.width));
  const std::string activation = take_activation(cfg, "activation_function", d.activation);
  spec.encoder = take_stack(cfg, spec, "encoder", activation, false);
  spec.layers = take_stack(cfg, spec, "decoder", activation, true);
  // What older files hold beside these; some once chose between layers that the families now fix.
  for (const char* key : {"dropout", "activation_dropout", "classifier_dropout", "classif_dropout", "gradient_checkpointing"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"forced_bos_token_id", "forced_eos_token_id", "max_length", "min_length", "num_beams", "length_penalty", "no_repeat_ngram_size", "early_stopping", "bad_words_ids", "num_return_sequences"})
    cfg.ignore(key, "how the original was decoded");
  for (const char* key : {"num_hidden_layers", "num_labels", "task_specific_params", "prefix", "output_past", "tokenizer_class", "static_position_embeddings", "extra_pos_embeddings", "adapt_tied_embeddings"})
    cfg.ignore(key, "says nothing about what is computed");
  for (const auto& [key, value] : {std::pair("normalize_before", d.placement == NormPlacement::pre), std::pair("normalize_embedding", d.embedding_norm), std::pair("add_final_layer_norm", d.placement == NormPlacement::pre)})
    if (cfg.take<bool>(key, value) != value) cfg.reject(key, std::string("must be ") + (value ? "true" : "false") + " in this family");
  cfg.ignore("add_bias_logits", "the fixed bias is always there");
  return spec;
}

Family::Written write_bart(const ModelSpec& spec, const BartDialect& d) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (const std::string more = beyond_encoder_decoder(spec); !more.empty()) return cannot(more);
  if (spec.norm != "layer" || spec.placement != d.placement || spec.norm_eps != 1e-5 || spec.embedding_norm != d.embedding_norm) return cannot("other norms");
  if (spec.positions != "learned" || spec.position_offset != kOffset) return cannot("positions other than learned ones from row 2 on");
  const double root = std::sqrt(static_cast<double>(spec.width));
  const bool scaled = std::abs(spec.embedding_scale - root) < 1e-9;
  if (!scaled && spec.embedding_scale != 1) return cannot("a scale of its own at the embedding");
  if (!spec.tied || spec.heads[0].options != Json{{"bias", "fixed"}}) return cannot("a head other than the embedding with a fixed bias");

  Json config = {{"architectures", {d.architecture}}, {"model_type", d.model_type}, {"vocab_size", spec.vocab}, {"d_model", spec.width}, {"max_position_embeddings", spec.max_positions},
                 {"scale_embedding", scaled}, {"init_std", spec.init_std}, {"tie_word_embeddings", true}, {"is_encoder_decoder", true}, {"use_cache", true}, {"pad_token_id", d.pad},
                 {"forced_eos_token_id", nullptr}, {"torch_dtype", dtype_key(spec.dtype)}};
  for (const char* key : {"dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop"}) config[key] = 0.0;
  std::string activation;
  for (const StackNames& stack : stacks(spec, "")) {
    const std::string side = stack.encoder ? "encoder" : "decoder";
    const AttentionOptions a = mixer_options(spec, stack.layers[0].mixer);
    for (const LayerSpec& layer : stack.layers)
      if (!(layer == stack.layers[0])) return cannot("layers that differ");
    if (a.rope || a.window > 0 || a.qk_norm != QkNorm::none || !a.bias || !a.output_bias || a.kv_heads != a.heads || a.head_dim * a.heads != spec.width || a.gate || a.alibi > 0 || a.softcap > 0 ||
        a.sinks || a.relative_bias.buckets > 0 || a.relative_bias.shared || a.scale != 1.0 / std::sqrt(static_cast<double>(a.head_dim)))
      return cannot("attention other than plain multi-head attention with biases");
    if (!stack.encoder && !(stack.layers[0].cross == Component{"cross_attention", {{"heads", a.heads}, {"bias", true}}})) return cannot("cross-attention other than plain multi-head attention with biases");
    const Component& channel = stack.layers[0].channel;
    if (channel.kind != "ffn") return cannot("the channel mixer " + channel.kind);
    const auto ffn = options_of<FfnOptions>(channel);
    const std::string act = activation_key(channel.options.value("activation", "silu"));
    if (ffn.gated || !ffn.bias || act.empty() || (!activation.empty() && act != activation)) return cannot("other feed-forward layers");
    activation = act;
    config[side + "_layers"] = stack.layers.size();
    config[side + "_attention_heads"] = a.heads;
    config[side + "_ffn_dim"] = ffn.hidden;
  }
  config["activation_function"] = activation;
  write_seq2seq(spec, config);
  return {config, ""};
}

std::vector<StoredTensor> bart_tensors(const Model& model, const BartDialect& d) {
  NameMap map(model);
  const auto norm = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + ".weight", ours);
    map.whole(theirs + ".bias", ours + "_bias");
  };
  const auto linear = norm;  // biases are named alike
  const auto attention = [&](const std::string& theirs, const std::string& ours) {
    for (const auto& [their, our] : {std::pair(".q_proj", ".query"), std::pair(".k_proj", ".key"), std::pair(".v_proj", ".value"), std::pair(".out_proj", ".output")}) linear(theirs + their, ours + our);
  };
  map.whole("model.shared.weight", "embedding");
  map.reshaped("final_logits_bias", "head.bias", {1, model.spec().vocab});
  for (const StackNames& stack : stacks(model.spec(), "model.")) {
    map.whole(stack.theirs + "embed_positions.weight", stack.ours + "positions");
    if (d.embedding_norm) norm(stack.theirs + "layernorm_embedding", stack.ours + "embedding_norm");
    if (d.placement == NormPlacement::pre) norm(stack.theirs + "layer_norm", stack.ours + "final_norm");
    for (size_t i = 0; i < stack.layers.size(); ++i) {
      const std::string theirs = stack.theirs + "layers." + std::to_string(i) + ".", ours = stack.ours + "layers." + std::to_string(i) + ".";
      attention(theirs + "self_attn", ours + "mixer");
      norm(theirs + "self_attn_layer_norm", ours + "mixer_norm");
      if (!stack.encoder) {
        attention(theirs + "encoder_attn", ours + "cross");
        norm(theirs + "encoder_attn_layer_norm", ours + "cross_norm");
      }
      linear(theirs + "fc1", ours + "channel.gate");
      linear(theirs + "fc2", ours + "channel.down");
      norm(theirs + "final_layer_norm", ours + "channel_norm");
    }
  }
  return map.take();
}

// Copies of the embedding.
bool bart_ignores(const ModelSpec&, const std::string& tensor) {
  return tensor == "lm_head.weight" || tensor == "model.encoder.embed_tokens.weight" || tensor == "model.decoder.embed_tokens.weight";
}

}  // namespace gamut
