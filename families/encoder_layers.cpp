#include "families/encoder_layers.h"

#include <algorithm>

#include "base/text.h"

namespace gamut {
namespace {

// A published class: what follows the family's prefix, what it is trained for, and its heads.
struct Architecture {
  std::string suffix, objective;
  std::vector<Component> heads;
};

std::vector<Architecture> architectures(const EncoderDialect& dialect, const std::string& hidden_activation, int64_t classes) {
  const Component vocabulary{"vocabulary", {{"transform", dialect.head_activation ? dialect.head_activation : hidden_activation}, {"bias", "trained"}}};
  Component classifier{"pooled", {{"name", "logits"}, {"classes", classes}}};
  if (dialect.pooler_activation != std::string("tanh")) classifier.options["activation"] = dialect.pooler_activation;
  std::vector<Architecture> all{{"ForMaskedLM", "mlm", {vocabulary}}, {"ForSequenceClassification", "classification", {classifier}}, {"Model", "mlm", {}}};
  if (dialect.bare_pooler) all.back().heads.push_back({"pooled"});
  if (dialect.pairs) all.push_back({"ForPreTraining", "mlm+nsp", {vocabulary, {"pooled", {{"name", "seq_relationship_logits"}, {"classes", 2}}}}});
  return all;
}

int64_t take_classes(Config& cfg) {
  const Json names = cfg.take_json("id2label");
  const auto classes = cfg.take_in<int64_t>("num_labels", names.is_object() && !names.empty() ? static_cast<int64_t>(names.size()) : 2, 1, 1 << 24);
  if (const auto type = cfg.take<std::string>("problem_type", "single_label_classification"); type != "single_label_classification")
    cfg.reject("problem_type", "is '" + type + "', which is not supported", "known: single_label_classification");
  return classes;
}

bool has_head(const ModelSpec& spec, const std::string& kind, const std::string& name = "") {
  return std::any_of(spec.heads.begin(), spec.heads.end(), [&](const Component& head) { return head.kind == kind && head.options.value("name", "") == name; });
}

}  // namespace

ModelSpec read_encoder(Config& cfg, const EncoderDialect& dialect) {
  const EncoderKeys& keys = dialect.keys;
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", dialect.vocab, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>(keys.width, 768, 1, 1 << 20);
  spec.norm = "layer";
  spec.norm_eps = keys.norm_eps ? cfg.take_in<double>(keys.norm_eps, 1e-12, 0, 1) : 1e-12;
  spec.placement = NormPlacement::post;
  spec.embedding_norm = true;
  spec.positions = "learned";
  if (dialect.positions_after_padding) spec.position_offset = cfg.take_in<int64_t>("pad_token_id", 1, 0, 1 << 20) + 1;
  spec.max_positions = cfg.take_in<int64_t>("max_position_embeddings", 512, 1 + spec.position_offset, 1 << 24) - spec.position_offset;
  if (const auto kind = cfg.take<std::string>("position_embedding_type", "absolute"); kind != "absolute")
    cfg.reject("position_embedding_type", "is '" + kind + "', which is not supported", "known: absolute");
  if (keys.token_types) spec.token_types = cfg.take_in<int64_t>(keys.token_types, 2, 1, 1 << 20);
  for (const char* key : {"is_decoder", "add_cross_attention"})
    if (cfg.take<bool>(key, false)) cfg.reject(key, "asks for a decoder, which this family is not here");
  const auto heads = cfg.take_in<int64_t>(keys.heads, 12, 1, 65536);
  if (spec.width % heads != 0) cfg.reject(keys.heads, "must divide " + std::string(keys.width) + " (" + std::to_string(spec.width) + "), not " + std::to_string(heads));
  const std::string activation = take_activation(cfg, keys.activation, "gelu");
  const Component attention{"attention", {{"heads", heads}, {"rope", false}, {"bias", true}}};
  const Component ffn{"ffn", {{"hidden", cfg.take_in<int64_t>(keys.hidden, 3072, 1, int64_t{1} << 24)}, {"activation", activation}, {"gated", false}, {"bias", true}}};
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>(keys.layers, 12, 1, 4096)), {attention, ffn});

  const auto named = cfg.take<std::vector<std::string>>("architectures", {std::string(dialect.prefix) + "Model"});
  std::vector<std::string> known;
  for (const Architecture& a : architectures(dialect, activation, take_classes(cfg))) {
    known.push_back(dialect.prefix + a.suffix);
    if (named.size() != 1 || named[0] != known.back()) continue;
    spec.heads = a.heads;
    spec.objective.kind = a.objective;
  }
  if (spec.objective.kind == "causal") cfg.reject("architectures", "is " + Json(named).dump() + ", which is not supported", "known: " + join(known, ", "));
  take_common(cfg, spec, true);
  for (const char* key : {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "gradient_checkpointing", "dropout", "qa_dropout", "seq_classif_dropout"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"tie_weights_", "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"}) cfg.ignore(key, "not used by these models");
  return spec;
}

Family::Written write_encoder(const ModelSpec& spec, const EncoderDialect& dialect) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "layer" || spec.placement != NormPlacement::post || !spec.embedding_norm) return cannot("norms other than LayerNorm after the embedding and after each block");
  if (has_shares(spec)) return cannot("shares of blocks in the residual stream");
  const EncoderKeys& keys = dialect.keys;
  if (spec.positions != "learned" || (keys.token_types ? spec.token_types < 1 : spec.token_types != 0) || spec.embedding_scale != 1 ||
      spec.embedding_width > 0 || !spec.encoder.empty())
    return cannot("other than one stack with learned positions");
  if (!keys.norm_eps && spec.norm_eps != 1e-12) return cannot("an epsilon other than 1e-12");
  if (dialect.positions_after_padding ? spec.position_offset < 1 : spec.position_offset != 0) return cannot("positions that start elsewhere");
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != "attention" || layer.channel.kind != "ffn" || !(layer == spec.layers[0])) return cannot("layers other than attention and ffn, all alike");
  const AttentionOptions a = attention_options(spec, 0);
  const auto ffn = options_of<FfnOptions>(spec.layers[0].channel);
  const std::string ours = spec.layers[0].channel.options.value("activation", "silu"), activation = activation_key(ours);
  // Whatever else attention may have is an option of its own.
  Component plain{"attention", {{"heads", a.heads}, {"rope", false}, {"bias", true}}};
  Component found = spec.layers[0].mixer;
  if (a.kv_heads == a.heads) found.options.erase("kv_heads");
  if (!(found == plain) || a.head_dim * a.heads != spec.width) return cannot("attention other than plain multi-head attention with biases");
  if (ffn.gated || !ffn.bias || activation.empty()) return cannot("feed-forward layers that are gated or without biases");
  const auto classes = has_head(spec, "pooled", "logits") ? spec.heads[0].options.value("classes", int64_t{0}) : 2;
  for (const Architecture& architecture : architectures(dialect, ours, classes)) {
    if (architecture.heads != spec.heads || architecture.objective != spec.objective.kind) continue;
    Json config = {{"architectures", {dialect.prefix + architecture.suffix}}, {"model_type", dialect.model_type}, {"vocab_size", spec.vocab}, {keys.width, spec.width},
                   {keys.layers, spec.layers.size()}, {keys.heads, a.heads}, {keys.hidden, ffn.hidden}, {keys.activation, activation}, {"max_position_embeddings", spec.max_positions + spec.position_offset},
                   {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied}, {"torch_dtype", dtype_key(spec.dtype)}};
    if (keys.norm_eps) config[keys.norm_eps] = spec.norm_eps;
    if (keys.token_types) config[keys.token_types] = spec.token_types;
    if (dialect.positions_after_padding) config["pad_token_id"] = spec.position_offset - 1;
    if (architecture.objective == "classification")
      for (int64_t i = 0; i < classes; ++i) {
        const std::string number = std::to_string(i), label = "LABEL_" + number;
        config["id2label"][number] = label;
        config["label2id"][label] = i;
      }
    return {config, ""};
  }
  return cannot("other heads or another objective");
}

// Files of the bare model may leave out the root, and old ones call a norm's gain and bias gamma and beta.
std::vector<StoredTensor> encoder_tensors(const Model& model, const TensorNames& present, const EncoderDialect& dialect) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  const EncoderNames& names = dialect.names;
  const bool bare = !has_head(spec, "vocabulary") && !has_head(spec, "pooled", "logits");
  const std::string word = "embeddings.word_embeddings.weight", root = present.contains(word) || (bare && !present.contains(dialect.root + word)) ? "" : dialect.root;
  const bool old = present.contains(root + "embeddings.LayerNorm.gamma");
  const auto norm = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + (old ? ".gamma" : ".weight"), ours);
    map.whole(theirs + (old ? ".beta" : ".bias"), ours + "_bias");
  };
  const auto linear = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + ".weight", ours);
    map.whole(theirs + ".bias", ours + "_bias");
  };
  map.whole(root + word, "embedding");
  map.whole(root + "embeddings.position_embeddings.weight", "positions");
  map.optional(root + "embeddings.token_type_embeddings.weight", "token_types");
  norm(root + "embeddings.LayerNorm", "embedding_norm");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string theirs = root + names.layer + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".";
    for (const auto& [their, our] : {std::pair(names.query, "mixer.query"), std::pair(names.key, "mixer.key"), std::pair(names.value, "mixer.value"), std::pair(names.output, "mixer.output"),
                                     std::pair(names.up, "channel.gate"), std::pair(names.down, "channel.down")})
      linear(theirs + their, ours + our);
    norm(theirs + names.mixer_norm, ours + "mixer_norm");
    norm(theirs + names.channel_norm, ours + "channel_norm");
  }
  if (has_head(spec, "vocabulary")) {
    linear(dialect.transform, "head.transform");
    norm(dialect.transform_norm, "head.norm");
    // Where the decoder is tied its bias is as well; where not, the decoder's own is the one that counts.
    const std::string decoder = dialect.decoder, bias = decoder + ".bias";
    map.whole(!spec.tied && (present.empty() || present.contains(bias)) ? bias : dialect.bias, "head.bias");
    if (!spec.tied) map.whole(decoder + ".weight", "head");
  }
  if (map.has("head.pooler")) linear(has_head(spec, "pooled", "logits") ? dialect.pooler : root + dialect.bare_pooler, "head.pooler");
  if (map.has("head.classifier")) linear(has_head(spec, "pooled", "logits") ? dialect.classifier : dialect.pairs, "head.classifier");
  return map.take();
}

bool encoder_ignores(const std::string& tensor, const EncoderDialect& dialect) {
  const auto of = [&](const char* name) { return name && tensor.starts_with(name); };
  return tensor.ends_with("embeddings.position_ids") || of(dialect.transform) || of(dialect.transform_norm) || tensor == dialect.bias || of(dialect.decoder) || of(dialect.pooler) ||
         of(dialect.classifier) || of(dialect.pairs) || (dialect.bare_pooler && tensor.find(dialect.bare_pooler) != std::string::npos);
}

}  // namespace gamut
