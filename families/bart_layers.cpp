#include "families/bart_layers.h"

#include <cmath>
#include <string_view>
#include <tuple>

namespace gamut {
namespace {

constexpr int64_t kOffset = 2;  // rows of a learned position table before the first position's

bool is_learned(const BartDialect& d) { return d.positions == std::string_view("learned"); }
bool is_t2t(const BartDialect& d) { return d.positions == std::string_view("sinusoidal_t2t"); }

// A mixture whose experts are like the dense layer: two for each token, dropped beyond a capacity also when it is used. [NLLB Team 2022]
Component take_sparse(Config& cfg, const Component& dense) {
  Component moe{"moe", dense.options};
  moe.options.update({{"experts", cfg.take_in<int64_t>("num_experts", 128, 2, 1 << 16)}, {"top_k", 2}, {"drop_when", "always"}, {"drop_order", "choice"}});
  const auto fraction = cfg.take_in<double>("moe_eval_capacity_token_fraction", 1, -1e6, 1e6);
  const auto capacity = cfg.take_in<int64_t>("expert_capacity", 64, 1, int64_t{1} << 40);
  if (fraction > 0) moe.options.update({{"capacity_factor", fraction}, {"capacity_formula", "tokens"}});
  else moe.options["capacity"] = capacity;
  if (cfg.take<bool>("batch_prioritized_routing", false)) moe.options["drop"] = "prioritised";
  if (!cfg.take<bool>("router_ignore_padding_tokens", false)) moe.options["drop_padding"] = true;
  // Dropout of whole tokens in training scales the experts by what is left of them afterwards.
  const double scale = 1 - cfg.take_in<double>("moe_token_dropout", 0.2, 0, 0.999999);
  const bool before = cfg.take<bool>("normalize_router_prob_before_dropping", false);
  const std::string second = cfg.take_choice("second_expert_policy", "all", {"all", "random", "sampling"});
  moe.options["router"] = {{"kind", "gshard"}, {"second", second}, {"normalise", before}, {"scale", before ? scale : 1.0}, {"balance_loss", 0.0}};
  if (!before) moe.options["kept_sum"] = scale;
  if (cfg.take<bool>("router_bias", false)) cfg.reject("router_bias", "is true: a bias of the router, which this family does not have here");
  if (cfg.take<bool>("output_router_logits", false)) cfg.reject("output_router_logits", "adds losses of the router, which is not supported here", "false is");
  for (const char* key : {"router_aux_loss_coef", "router_z_loss_coef", "router_dtype"}) cfg.ignore(key, "losses and precision of the original's training");
  return moe;
}

// The same keys for a mixture that take_sparse could have made.
void write_sparse_keys(const Component& moe, Json& config) {
  const Json& o = moe.options;
  const Json router = o.value("router", Json::object());
  const bool before = router.value("normalise", true);
  config.update({{"num_experts", o.value("experts", 0)}, {"moe_eval_capacity_token_fraction", o.value("capacity_factor", 0.0)}, {"expert_capacity", o.value("capacity", 64)},
                 {"batch_prioritized_routing", o.value("drop", "position") == "prioritised"}, {"router_ignore_padding_tokens", !o.value("drop_padding", false)},
                 {"normalize_router_prob_before_dropping", before}, {"second_expert_policy", router.value("second", "random")}, {"router_bias", false}, {"output_router_logits", false}});
  // 1 − scale, such that reading gives that scale again.
  const double scale = before ? router.value("scale", 1.0) : o.value("kept_sum", 1.0);
  config["moe_token_dropout"] = 1 - scale;
}

// One stack's keys: "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim".
std::vector<LayerSpec> take_stack(Config& cfg, const ModelSpec& spec, const std::string& side, const std::string& activation, const BartDialect& d) {
  const auto heads = cfg.take_in<int64_t>(side + "_attention_heads", 16, 1, 65536);
  if (spec.width % heads != 0) cfg.reject(side + "_attention_heads", "must divide d_model (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  LayerSpec layer{{"attention", {{"heads", heads}, {"rope", false}, {"bias", true}}},
                  {"ffn", {{"hidden", cfg.take_in<int64_t>(side + "_ffn_dim", 4096, 1, int64_t{1} << 24)}, {"activation", activation}, {"gated", false}, {"bias", true}}}};
  if (side == "decoder") layer.cross = {"cross_attention", {{"heads", heads}, {"bias", true}}};
  cfg.ignore(side + "_layerdrop", "training of the original");
  std::vector<LayerSpec> layers(static_cast<size_t>(cfg.take_in<int64_t>(side + "_layers", 12, 1, 4096)), layer);
  if (!d.sparse) return layers;
  const auto every = static_cast<size_t>(cfg.take_in<int64_t>(side + "_sparse_step", 4, 0, 4096));
  const Component sparse = take_sparse(cfg, layer.channel);
  for (size_t i = 0; every > 0 && i < layers.size(); ++i)
    if ((i + 1) % every == 0) layers[i].channel = sparse;
  return layers;
}

}  // namespace

ModelSpec read_bart(Config& cfg, const BartDialect& d) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", d.vocab, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("d_model", 1024, 1, 1 << 20);
  spec.norm = "layer";
  spec.placement = d.placement;
  spec.positions = d.positions;
  const auto pad = cfg.take_in<int64_t>("pad_token_id", d.pad, 0, int64_t{1} << 31);
  spec.position_offset = is_learned(d) ? kOffset : is_t2t(d) ? pad + 1 : 0;
  spec.embedding_norm = d.embedding_norm;
  if (d.logits_bias) spec.heads[0].options["bias"] = "fixed";
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", 1024, 1, 1 << 24);
  spec.objective = take_seq2seq(cfg, d.start, d.end);
  take_common(cfg, spec, true);
  spec.init_std = cfg.take_in<double>("init_std", 0.02, 0, 10);
  if (!spec.tied) cfg.reject("tie_word_embeddings", "is false: embeddings that differ between encoder, decoder and head, which this family does not have here");
  if (cfg.take<bool>("scale_embedding", d.scaled)) spec.embedding_scale = std::sqrt(static_cast<double>(spec.width));
  const std::string activation = take_activation(cfg, "activation_function", d.activation);
  spec.encoder = take_stack(cfg, spec, "encoder", activation, d);
  spec.layers = take_stack(cfg, spec, "decoder", activation, d);
  // What older files hold beside these; some once chose between layers that the families now fix.
  for (const char* key : {"dropout", "activation_dropout", "classifier_dropout", "classif_dropout", "gradient_checkpointing"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"forced_bos_token_id", "forced_eos_token_id", "max_length", "min_length", "num_beams", "length_penalty", "no_repeat_ngram_size", "early_stopping", "bad_words_ids", "num_return_sequences"})
    cfg.ignore(key, "how the original was decoded");
  if (const auto other = cfg.take_in<int64_t>("decoder_vocab_size", spec.vocab, 1, int64_t{1} << 31); other != spec.vocab)
    cfg.reject("decoder_vocab_size", "is not vocab_size: embeddings that differ between encoder and decoder, which this family does not have here");
  if (!cfg.take<bool>("share_encoder_decoder_embeddings", true)) cfg.reject("share_encoder_decoder_embeddings", "is false: embeddings that differ between encoder and decoder");
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
  if (spec.positions != d.positions || (!is_t2t(d) && spec.position_offset != (is_learned(d) ? kOffset : 0)) || (is_t2t(d) && spec.position_offset < 1)) return cannot("other positions");
  const double root = std::sqrt(static_cast<double>(spec.width));
  const bool scaled = std::abs(spec.embedding_scale - root) < 1e-9;
  if (!scaled && spec.embedding_scale != 1) return cannot("a scale of its own at the embedding");
  if (!spec.tied || spec.heads[0].options != (d.logits_bias ? Json{{"bias", "fixed"}} : Json::object())) return cannot("a head other than the embedding, or another bias of it");

  Json config = {{"architectures", {d.architecture}}, {"model_type", d.model_type}, {"vocab_size", spec.vocab}, {"d_model", spec.width}, {"max_position_embeddings", spec.max_positions},
                 {"scale_embedding", scaled}, {"init_std", spec.init_std}, {"tie_word_embeddings", true}, {"is_encoder_decoder", true}, {"use_cache", true}, {"pad_token_id", is_t2t(d) ? Json(spec.position_offset - 1) : d.pad < spec.vocab ? Json(d.pad) : Json()},
                 {"forced_eos_token_id", nullptr}, {"torch_dtype", dtype_key(spec.dtype)}};
  for (const char* key : {"dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop"}) config[key] = 0.0;
  std::string activation;
  for (const StackNames& stack : stacks(spec, "")) {
    const std::string side = stack.encoder ? "encoder" : "decoder";
    const AttentionOptions a = mixer_options(spec, stack.layers[0].mixer);
    const Component *dense = nullptr, *sparse = nullptr;
    size_t every = 0;
    for (size_t i = 0; i < stack.layers.size(); ++i) {
      const LayerSpec& layer = stack.layers[i];
      const bool is_sparse = d.sparse && layer.channel.kind == "moe";
      if (is_sparse && every == 0) every = i + 1;
      const Component*& kind = is_sparse ? sparse : dense;
      if (!kind) kind = &layer.channel;
      if (!(layer.mixer == stack.layers[0].mixer) || !(layer.cross == stack.layers[0].cross) || !(layer.channel == *kind)) return cannot("layers that differ");
      if (d.sparse && is_sparse != (every > 0 && (i + 1) % every == 0)) return cannot("mixtures of experts that are not evenly spaced");
    }
    if (a.rope || a.window > 0 || a.qk_norm != QkNorm::none || !a.bias || !a.output_bias || a.kv_heads != a.heads || a.head_dim * a.heads != spec.width || a.gate || a.alibi > 0 || a.softcap > 0 ||
        a.sinks || a.relative_bias.buckets > 0 || a.relative_bias.shared || a.scale != 1.0 / std::sqrt(static_cast<double>(a.head_dim)))
      return cannot("attention other than plain multi-head attention with biases");
    if (!stack.encoder && !(stack.layers[0].cross == Component{"cross_attention", {{"heads", a.heads}, {"bias", true}}})) return cannot("cross-attention other than plain multi-head attention with biases");
    if (dense && dense->kind != "ffn") return cannot("the channel mixer " + dense->kind);
    const auto ffn = dense ? options_of<FfnOptions>(*dense) : options_of<MoeOptions>(*sparse).expert;
    const std::string act = activation_key((dense ? dense : sparse)->options.value("activation", "silu"));
    if (ffn.gated || !ffn.bias || act.empty() || (!activation.empty() && act != activation)) return cannot("other feed-forward layers");
    activation = act;
    config[side + "_layers"] = stack.layers.size();
    config[side + "_attention_heads"] = a.heads;
    config[side + "_ffn_dim"] = ffn.hidden;
    if (d.sparse) config[side + "_sparse_step"] = every;
    if (sparse) {
      write_sparse_keys(*sparse, config);
      Config keys(config, {.source = "config.json"});
      if (!(*sparse == take_sparse(keys, {"ffn", {{"hidden", ffn.hidden}, {"activation", take_activation(keys, "no", act.c_str())}, {"gated", false}, {"bias", true}}})))
        return cannot("another mixture of experts");
    }
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
  const auto experts = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + "router.classifier.weight", ours + "router");
    const Shape& first = map.shape(ours + "gate");  // [E, I, D]
    for (int64_t e = 0; e < first[0]; ++e)
      for (const auto& [name, parameter, rows, columns] : {std::tuple("fc1", "gate", first[1], first[2]), std::tuple("fc2", "down", first[2], first[1])}) {
        const std::string expert = theirs + "experts.expert_" + std::to_string(e) + "." + name;
        map.add({expert + ".weight", {rows, columns}, {{ours + parameter, e * rows * columns, rows * columns}}});
        map.add({expert + ".bias", {rows}, {{ours + parameter + "_bias", e * rows, rows}}});
      }
  };
  const auto attention = [&](const std::string& theirs, const std::string& ours) {
    for (const auto& [their, our] : {std::pair(".q_proj", ".query"), std::pair(".k_proj", ".key"), std::pair(".v_proj", ".value"), std::pair(".out_proj", ".output")}) linear(theirs + their, ours + our);
  };
  map.whole("model.shared.weight", "embedding");
  if (d.logits_bias) map.reshaped("final_logits_bias", "head.bias", {1, model.spec().vocab});
  for (const StackNames& stack : stacks(model.spec(), "model.")) {
    if (is_learned(d)) map.whole(stack.theirs + "embed_positions.weight", stack.ours + "positions");
    if (d.embedding_norm) norm(stack.theirs + "layernorm_embedding", stack.ours + "embedding_norm");
    if (d.placement == NormPlacement::pre) norm(stack.theirs + "layer_norm", stack.ours + "final_norm");
    for (size_t i = 0; i < stack.layers.size(); ++i) {
      const std::string theirs = stack.theirs + "layers." + std::to_string(i) + ".", ours = stack.ours + "layers." + std::to_string(i) + ".";
      attention(theirs + "self_attn", ours + "mixer");
      norm(theirs + "self_attn_layer_norm", ours + "mixer_norm");
      if (!stack.encoder) {
        attention(theirs + d.cross, ours + "cross");
        norm(theirs + d.cross + "_layer_norm", ours + "cross_norm");
      }
      if (stack.layers[i].channel.kind == "moe") {
        experts(theirs + d.ffn, ours + "channel.");
      } else {
        linear(theirs + d.ffn + "fc1", ours + "channel.gate");
        linear(theirs + d.ffn + "fc2", ours + "channel.down");
      }
      norm(theirs + d.channel_norm, ours + "channel_norm");
    }
  }
  return map.take();
}

// Copies of the embedding, and tables of fixed positions.
bool bart_ignores(const ModelSpec& spec, const std::string& tensor) {
  if (spec.positions != "learned" && (tensor.ends_with("embed_positions.weight") || tensor.ends_with("embed_positions.weights") || tensor.ends_with("embed_positions._float_tensor"))) return true;
  return tensor == "lm_head.weight" || tensor == "model.encoder.embed_tokens.weight" || tensor == "model.decoder.embed_tokens.weight";
}

}  // namespace gamut
