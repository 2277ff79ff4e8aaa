#include "families/text_to_text.h"

#include <algorithm>
#include <cmath>

namespace gamut {
namespace {

double head_scale(const ModelSpec& spec) { return 1 / std::sqrt(static_cast<double>(spec.width)); }

// feed_forward_proj, "relu" or "gated-gelu", as activation and gate.
void take_projection(Config& cfg, const TextToTextDialect& dialect, Json& ffn) {
  const auto projection = cfg.take<std::string>("feed_forward_proj", dialect.projection);
  const bool gated = projection.starts_with("gated-");
  const std::string act = gated ? projection.substr(6) : projection;
  // gated-gelu has always meant the approximation by tanh.
  Config name(Json{{"feed_forward_proj", gated && act == "gelu" ? "gelu_new" : act}}, cfg.origin(), cfg.prefix());
  ffn["activation"] = take_activation(name, "feed_forward_proj");
  ffn["gated"] = gated;
}

// One expert for each token, which takes so many of each sequence in its order. The experts are like the dense layer.
Component switch_experts(const Component& dense, int64_t experts, int64_t capacity, bool router_bias) {
  Component moe{"moe", dense.options};
  moe.options.update(Json{{"experts", experts}, {"top_k", 1}, {"capacity", capacity}, {"capacity_group", "sequence"}, {"drop_when", "always"},
                          {"router", {{"kind", "switch"}, {"balance_loss", 0.0}, {"linear_bias", router_bias}}}});
  return moe;
}

// Whether layer i of n is a mixture of experts where the key says `sparse`: one of every n/sparse layers is, as transformers divides; of more than n none,
// of 0 one.
bool is_sparse(int64_t i, int64_t n, int64_t sparse) {
  const int64_t every = sparse > 0 ? n / sparse : n;
  return every == 1 || (every > 1 && i % every == 1);
}
void make_sparse(Config& cfg, std::vector<LayerSpec>& layers, const Component& moe, const char* count_key, const char* step_key) {
  const auto n = static_cast<int64_t>(layers.size()), sparse = cfg.take_in<int64_t>(count_key, 3, 0, 4096);
  cfg.ignore(step_key, "follows from the number of sparse layers");
  for (int64_t i = 0; i < n; ++i)
    if (is_sparse(i, n, sparse)) layers[static_cast<size_t>(i)].channel = moe;
}

}  // namespace

ModelSpec read_text_to_text(Config& cfg, const TextToTextDialect& d) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", d.vocab, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("d_model", d.width, 1, 1 << 20);
  spec.norm_eps = cfg.take_in<double>("layer_norm_epsilon", 1e-6, 0, 1);
  spec.max_positions = 1 << 24;  // distances have no end
  spec.objective = take_seq2seq(cfg, 0, 1);
  const bool tied = cfg.take<bool>("tie_word_embeddings", true);
  take_common(cfg, spec, true);
  spec.init_std = 0.02 * cfg.take_in<double>("initializer_factor", 1.0, 0, 1000);
  const bool scaled = d.scale == TextToTextDialect::Scale::key ? cfg.take<bool>("scale_decoder_outputs", tied) : d.scale == TextToTextDialect::Scale::tied && tied;
  if (scaled) spec.heads[0].options["scale"] = head_scale(spec);

  const auto heads = cfg.take_in<int64_t>("num_heads", d.heads, 1, 65536), dim = cfg.take_in<int64_t>("d_kv", 64, 1, 65536);
  const Json bias = {{"buckets", cfg.take_in<int64_t>("relative_attention_num_buckets", 32, 4, 1 << 20)}, {"max_distance", cfg.take_in<int64_t>("relative_attention_max_distance", 128, 1, 1 << 30)}};
  Component attention{"attention", {{"heads", heads}, {"head_dim", dim}, {"scale", 1.0}, {"rope", false}, {"relative_bias", bias}}};
  const Component cross{"cross_attention", {{"heads", heads}, {"head_dim", dim}, {"scale", 1.0}}};
  Component ffn{"ffn", {{"hidden", cfg.take_in<int64_t>("d_ff", d.hidden, 1, int64_t{1} << 24)}}};
  if (d.experts) {
    ffn.options["activation"] = take_activation(cfg, "dense_act_fn", "relu");
    ffn.options["gated"] = false;
    cfg.ignore("feed_forward_proj", "dense_act_fn says it");
  } else {
    take_projection(cfg, d, ffn.options);
    cfg.ignore("dense_act_fn", "feed_forward_proj says it");
    cfg.ignore("is_gated_act", "feed_forward_proj says it");
  }
  const auto encoder = cfg.take_in<int64_t>("num_layers", d.layers, 1, 4096), decoder = cfg.take_in<int64_t>("num_decoder_layers", encoder, 1, 4096);
  spec.encoder.assign(static_cast<size_t>(encoder), {attention, ffn});
  spec.layers.assign(static_cast<size_t>(decoder), {attention, ffn, cross});
  if (!d.own_bias)
    for (std::vector<LayerSpec>* stack : {&spec.encoder, &spec.layers})
      for (size_t i = 1; i < stack->size(); ++i) (*stack)[i].mixer.options["relative_bias"] = {{"shared", true}};
  if (d.experts) {
    const auto experts = cfg.take_in<int64_t>("num_experts", 8, 1, 1 << 16), capacity = cfg.take_in<int64_t>("expert_capacity", 64, 1, int64_t{1} << 40);
    const Component moe = switch_experts(ffn, experts, capacity, cfg.take<bool>("router_bias", false));
    make_sparse(cfg, spec.encoder, moe, "num_sparse_encoder_layers", "encoder_sparse_step");
    make_sparse(cfg, spec.layers, moe, "num_sparse_decoder_layers", "decoder_sparse_step");
    for (const char* key : {"add_router_probs", "output_router_logits"})
      if (cfg.take<bool>(key, false)) cfg.reject(key, "adds losses of the router that this family does not have here");
    for (const char* key : {"router_jitter_noise", "router_aux_loss_coef", "router_z_loss_coef"}) cfg.ignore(key, "training of the original");
    cfg.ignore("router_dtype", "routers compute in f32");
    cfg.ignore("router_ignore_padding_tokens", "transformers reads it and does nothing");
    cfg.ignore("add_cross_attention", "decoders always look at the encoder");
  }
  for (const char* key : {"dropout_rate", "classifier_dropout"}) cfg.ignore(key, "training of the original");
  for (const char* key : {"n_positions", "max_length", "output_past", "tokenizer_class", "task_specific_params", "prefix"}) cfg.ignore(key, "says nothing about what is computed");
  return spec;
}

Family::Written write_text_to_text(const ModelSpec& spec, const TextToTextDialect& d) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (const std::string more = beyond_encoder_decoder(spec); !more.empty()) return cannot(more);
  if (spec.norm != "rms" || spec.placement != NormPlacement::pre || spec.embedding_norm) return cannot("norms other than RMSNorm before each part");
  if (spec.positions != "none" || spec.embedding_scale != 1) return cannot("positions or a scale at the embedding");
  const double scale = spec.heads[0].options.value("scale", 1.0);
  for (const auto& [key, value] : spec.heads[0].options.items())
    if (key != "scale") return cannot("a head with " + key);
  const bool scaled = std::abs(scale - head_scale(spec)) < 1e-12;
  if (!scaled && scale != 1) return cannot("a scale of its own at the head");
  if (d.scale == TextToTextDialect::Scale::never ? scaled || !spec.tied : d.scale == TextToTextDialect::Scale::tied ? scaled != spec.tied : scaled && !spec.tied)
    return cannot("this scale at the head");

  const AttentionOptions first = mixer_options(spec, spec.layers[0].mixer);
  const Component *dense = nullptr, *moe = nullptr;
  for (const StackNames& stack : stacks(spec, "")) {
    for (size_t i = 0; i < stack.layers.size(); ++i) {
      const LayerSpec& layer = stack.layers[i];
      const AttentionOptions a = mixer_options(spec, layer.mixer);
      if (a.rope || a.scale != 1 || a.window > 0 || a.qk_norm != QkNorm::none || a.bias || a.output_bias || a.kv_heads != a.heads || a.gate || a.alibi > 0 || a.softcap > 0 || a.sinks)
        return cannot("attention other than plain and not scaled");
      if (a.heads != first.heads || a.head_dim != first.head_dim) return cannot("heads that differ between layers");
      if (a.relative_bias.shared != (i > 0 && !d.own_bias)) return cannot("biases by distance in other layers");
      if (!a.relative_bias.shared && (a.relative_bias.buckets != first.relative_bias.buckets || a.relative_bias.max_distance != first.relative_bias.max_distance || a.relative_bias.buckets == 0))
        return cannot("other biases by distance");
      if (!stack.encoder) {
        Component plain{"cross_attention", {{"heads", a.heads}, {"head_dim", a.head_dim}, {"scale", 1.0}}};
        Component given = layer.cross;
        given.options["scale"] = given.options.value("scale", 1 / std::sqrt(static_cast<double>(a.head_dim)));
        if (!given.options.contains("head_dim") && a.heads * a.head_dim == spec.width) given.options["head_dim"] = a.head_dim;
        if (!(given == plain)) return cannot("cross-attention other than plain and not scaled");
      }
      const Component*& kind = layer.channel.kind == "moe" ? moe : dense;
      if (!kind) kind = &layer.channel;
      if (!(layer.channel == *kind)) return cannot("channel mixers of several kinds");
    }
  }
  if ((moe != nullptr) != d.experts) return cannot(d.experts ? "no mixture of experts" : "mixtures of experts");
  const Component& channel = dense ? *dense : *moe;
  if (channel.kind != (dense ? "ffn" : "moe")) return cannot("the channel mixer " + channel.kind);
  const FfnOptions ffn = dense ? options_of<FfnOptions>(channel) : options_of<MoeOptions>(channel).expert;
  const std::string activation = channel.options.value("activation", "silu");
  std::string act = activation_key(activation);
  if (ffn.bias || ffn.limit > 0 || ffn.up_shift != 0 || act.empty() || (ffn.gated && activation == "gelu")) return cannot("other feed-forward layers");
  if (ffn.gated && activation == "gelu_tanh") act = "gelu";

  Json config = {{"architectures", {d.architecture}}, {"model_type", d.model_type}, {"vocab_size", spec.vocab}, {"d_model", spec.width}, {"d_kv", first.head_dim}, {"d_ff", ffn.hidden},
                 {"num_layers", spec.encoder.size()}, {"num_decoder_layers", spec.layers.size()}, {"num_heads", first.heads}, {"relative_attention_num_buckets", first.relative_bias.buckets},
                 {"relative_attention_max_distance", first.relative_bias.max_distance}, {"layer_norm_epsilon", spec.norm_eps}, {"initializer_factor", spec.init_std / 0.02},
                 {"tie_word_embeddings", spec.tied}, {"is_encoder_decoder", true}, {"use_cache", true}, {"dropout_rate", 0.0}, {"pad_token_id", 0}, {"torch_dtype", dtype_key(spec.dtype)}};
  config[d.experts ? "dense_act_fn" : "feed_forward_proj"] = (ffn.gated ? "gated-" : "") + act;
  if (d.scale == TextToTextDialect::Scale::key) config["scale_decoder_outputs"] = scaled;
  write_seq2seq(spec, config);
  if (!d.experts) return {config, ""};

  if (ffn.gated) return cannot("gated experts");
  if (dense && (options_of<FfnOptions>(*dense).hidden != ffn.hidden || options_of<MoeOptions>(*moe).expert.hidden != ffn.hidden)) return cannot("experts of another size than dense layers");
  for (const char* key : {"experts", "capacity"})
    if (!moe->options.contains(key)) return cannot(std::string("experts without ") + key);
  const bool bias = moe->options.value("router", Json::object()).value("linear_bias", false);
  const Component plain = switch_experts({"ffn", {{"hidden", ffn.hidden}, {"activation", activation}, {"gated", false}}}, moe->options["experts"], moe->options["capacity"], bias);
  if (!(plain == *moe)) return cannot("other experts than one for each token, with a capacity for each sequence");
  config["num_experts"] = moe->options["experts"];
  config["expert_capacity"] = moe->options["capacity"];
  config["router_bias"] = bias;
  for (const StackNames& stack : stacks(spec, "")) {
    const auto n = static_cast<int64_t>(stack.layers.size());
    int64_t sparse = 0;
    for (const LayerSpec& layer : stack.layers) sparse += layer.channel.kind == "moe";
    if (sparse == 0) sparse = n + 1;
    for (int64_t i = 0; i < n; ++i)
      if ((stack.layers[static_cast<size_t>(i)].channel.kind == "moe") != is_sparse(i, n, sparse)) return cannot("mixtures in other layers");
    config[stack.encoder ? "num_sparse_encoder_layers" : "num_sparse_decoder_layers"] = sparse;
  }
  return {config, ""};
}

std::vector<StoredTensor> text_to_text_tensors(const Model& model, const TextToTextDialect& d) {
  NameMap map(model);
  const auto attention = [&](const std::string& theirs, const std::string& ours) {
    for (const auto& [their, our] : {std::pair(".q", ".query"), std::pair(".k", ".key"), std::pair(".v", ".value"), std::pair(".o", ".output")}) map.whole(theirs + their + ".weight", ours + our);
    map.optional(theirs + ".relative_attention_bias.weight", ours + ".relative_bias");
  };
  map.whole("shared.weight", "embedding");
  for (const StackNames& stack : stacks(model.spec(), "")) {
    for (size_t i = 0; i < stack.layers.size(); ++i) {
      const std::string block = stack.theirs + "block." + std::to_string(i) + ".layer.", ours = stack.ours + "layers." + std::to_string(i) + ".";
      attention(block + "0.SelfAttention", ours + "mixer");
      map.whole(block + "0.layer_norm.weight", ours + "mixer_norm");
      if (!stack.encoder) {
        attention(block + "1.EncDecAttention", ours + "cross");
        map.whole(block + "1.layer_norm.weight", ours + "cross_norm");
      }
      const std::string last = block + (stack.encoder ? "1." : "2."), ffn = last + (d.experts ? "mlp." : "DenseReluDense."), channel = ours + "channel.";
      map.whole(last + "layer_norm.weight", ours + "channel_norm");
      if (stack.layers[i].channel.kind == "moe") {
        map.whole(ffn + "router.classifier.weight", channel + "router");
        map.optional(ffn + "router.classifier.bias", channel + "router_linear_bias");
        const Shape& gate = map.shape(channel + "gate");  // [E, I, D]
        const int64_t hidden = gate[1], width = gate[2], each = hidden * width;
        for (int64_t e = 0; e < gate[0]; ++e) {
          const std::string expert = ffn + "experts.expert_" + std::to_string(e) + ".";
          map.add({expert + "wi.weight", {hidden, width}, {{channel + "gate", e * each, each}}});
          map.add({expert + "wo.weight", {width, hidden}, {{channel + "down", e * each, each}}});
        }
        continue;
      }
      const bool gated = map.has(channel + "up");
      map.whole(ffn + (gated ? "wi_0.weight" : "wi.weight"), channel + "gate");
      if (gated) map.whole(ffn + "wi_1.weight", channel + "up");
      map.whole(ffn + "wo.weight", channel + "down");
    }
    map.whole(stack.theirs + "final_layer_norm.weight", stack.ours + "final_norm");
  }
  if (!model.spec().tied) map.whole("lm_head.weight", "head");
  return map.take();
}

// Copies of the embedding, and a table that early files hold by mistake.
bool text_to_text_ignores(const ModelSpec& spec, const std::string& tensor) {
  return tensor == "encoder.embed_tokens.weight" || tensor == "decoder.embed_tokens.weight" || tensor == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight" ||
         (spec.tied && tensor == "lm_head.weight");
}

void complete_text_to_text(ModelSpec& spec, const SafetensorsReader& file) {
  spec.tied = !file.find("lm_head.weight");
  // Files often hold the one table three times; another table would be another model.
  const TensorView* shared = file.find("shared.weight");
  for (const std::string name : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    if (const TensorView* own = file.find(name); own && shared && !std::ranges::equal(own->bytes, shared->bytes))
      throw Error({.who = "checkpoint", .what = name + " differs from shared.weight", .hint = "an encoder or a decoder with embeddings of its own is not supported"});
}

}  // namespace gamut
