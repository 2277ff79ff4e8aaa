#include "families/deepseek_layers.h"

#include <algorithm>
#include <cmath>

namespace gamut {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;

Component vocabulary_head(const PlainDecoder& d) {
  Component head{"vocabulary"};
  if (d.logit_scale != 1) head.options["scale"] = d.logit_scale;
  if (d.logit_softcap > 0) head.options["softcap"] = d.logit_softcap;
  if (d.head_bias) head.options["bias"] = "trained";
  if (d.spec.embedding_width > 0 && d.spec.embedding_width != d.spec.width) head.options["narrow"] = true;
  return head;
}

Json table(const Component& c) {
  Json out = c.options;
  out["kind"] = c.kind;
  return out;
}
Component further_head(const LayerSpec& last) { return {"further", {{"depth", 1}, {"mixer", table(last.mixer)}, {"channel", table(last.channel)}}}; }

// What says nothing about models without attention, without experts, or without other feed-forward layers.
void settle(PlainDecoder& d) {
  const size_t layers = d.attention.size();
  if (std::find(d.others.begin(), d.others.end(), true) == d.others.end()) {
    d.others.clear();
    d.other.reset();
    d.other_shares = {};
  }
  if (std::all_of(d.blocks.begin(), d.blocks.end(), [](Blocks b) { return b == Blocks::both; })) d.blocks.clear();
  size_t first = 0;
  while (first < layers && !d.has_attention(first)) ++first;
  const AttentionOptions usual_attention = first < layers ? d.attention[first] : AttentionOptions{.heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 1};
  for (size_t i = 0; i < layers; ++i)
    if (!d.has_attention(i)) d.attention[i] = usual_attention;
  if (std::find(d.sparse.begin(), d.sparse.end(), true) == d.sparse.end()) {
    d.sparse.clear();
    d.experts = {};
  }
  for (size_t i = 0; i < layers; ++i)
    if (d.has_channel(i) && !d.has_experts(i)) return;
  const PlainDecoder usual;
  d.hidden = usual.hidden;
  d.activation = usual.activation;
  d.gated = usual.gated;
  d.ffn_bias = usual.ffn_bias;
}

// A key of one value that is an option of every layer's attention.
template <class T, class Key> void of_every_layer(bool reading, PlainDecoder& d, T AttentionOptions::*option, Key key) {
  T value = d.attention[0].*option;
  key(value);
  if (reading)
    for (AttentionOptions& a : d.attention) a.*option = value;
}

}  // namespace

std::string difference(const Json& a, const Json& b, const std::string& where) {
  if (!a.is_object() || !b.is_object()) return where + " = " + a.dump();
  for (const auto& [key, value] : a.items())
    if (!b.contains(key) || b[key] != value) return difference(value, b.value(key, Json()), where.empty() ? key : where + "." + key);
  for (const auto& [key, value] : b.items())
    if (!a.contains(key)) return "no " + key;
  return where;
}

ModelSpec spec_of(const PlainDecoder& d) {
  ModelSpec spec = d.spec;
  Component ffn{"ffn", {{"hidden", d.hidden}, {"activation", d.activation}}};
  if (!d.gated) ffn.options["gated"] = false;
  if (d.ffn_bias) ffn.options["bias"] = true;
  for (size_t i = 0; i < d.attention.size(); ++i) {
    const bool other = !d.others.empty() && d.others[i];
    const Component mixer = other ? *d.other : d.latent ? Component{"mla", d.latent->to_json(spec)} : Component{"attention", d.attention[i].to_json(spec)};
    spec.layers.push_back({mixer, d.has_experts(i) ? component_of(d.experts) : ffn, {"none"}, other ? d.other_shares : d.attention_shares, d.channel_shares});
    LayerSpec& layer = spec.layers.back();
    if (!d.has_mixer(i)) {
      layer.mixer = {"none"};
      layer.mixer_shares = {};
    }
    if (!d.has_channel(i)) {
      layer.channel = {"none"};
      layer.channel_shares = {};
    }
  }
  spec.heads = {vocabulary_head(d)};
  if (d.further) spec.heads.push_back(further_head(spec.layers.back()));
  return spec;
}

AttentionOptions latent_stand_in(const MlaOptions& latent) {
  return {.heads = latent.heads, .kv_heads = latent.heads, .head_dim = latent.rotary, .rope = latent.rope, .rotation = latent.rotation};
}

DecoderOr decoder_of(const ModelSpec& spec) {
  const bool further = spec.heads.size() == 2 && spec.heads[1] == further_head(spec.layers.back());
  if (spec.heads.size() != (further ? 2 : 1) || spec.heads[0].kind != "vocabulary") return {{}, "other heads than one for the vocabulary"};
  PlainDecoder d{.spec = spec, .further = further};
  d.spec.layers.clear();
  d.spec.heads = PlainDecoder{}.spec.heads;
  const Component* dense = nullptr;
  bool attention = false, channels = false;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const auto& [mixer, channel, cross, mixer_shares, channel_shares] = spec.layers[i];
    const bool mixes = mixer.kind != "none", has_channel = channel.kind != "none";
    const bool latent = mixer.kind == "mla", other = mixes && !latent && mixer.kind != "attention";
    if ((channel.kind != "ffn" && channel.kind != "moe" && has_channel) || (!mixes && !has_channel)) return {{}, "layers of " + mixer.kind + " and " + channel.kind};
    if ((!mixes && !(mixer_shares == Shares{})) || (!has_channel && !(channel_shares == Shares{}))) return {{}, "shares of blocks that are not there"};
    d.blocks.push_back(!mixes ? Blocks::channel : !has_channel ? Blocks::mixer : Blocks::both);
    if (!mixes) {
      d.attention.emplace_back();
    } else if (other) {
      if (d.other && !(*d.other == mixer)) return {{}, "layers whose mixers differ"};
      d.other = mixer;
      d.attention.emplace_back();
    } else if (latent) {
      const MlaOptions options = mla_options(spec, i);
      if (attention && !(d.latent == options)) return {{}, "layers whose mixers differ"};
      d.latent = options;
      d.attention.push_back(latent_stand_in(options));
    } else {
      if (d.latent) return {{}, "layers whose mixers differ"};
      d.attention.push_back(attention_options(spec, i));
    }
    Shares& shares = other ? d.other_shares : d.attention_shares;
    const bool met = other ? std::find(d.others.begin(), d.others.end(), true) != d.others.end() : attention;
    if ((mixes && met && !(shares == mixer_shares)) || (has_channel && channels && !(d.channel_shares == channel_shares))) return {{}, "blocks of one kind with different shares"};
    if (mixes) shares = mixer_shares;
    if (has_channel) d.channel_shares = channel_shares;
    attention = attention || (mixes && !other);
    channels = channels || has_channel;
    d.others.push_back(other);
    d.sparse.push_back(channel.kind == "moe");
    if (!has_channel) continue;
    if (channel.kind == "ffn") {
      if (dense && !(*dense == channel)) return {{}, "layers whose channel mixers differ"};
      dense = &channel;
      continue;
    }
    auto [experts, obstacle] = experts_of(channel);
    if (!experts) return {{}, obstacle};
    if (std::find(d.sparse.begin(), d.sparse.end(), true) != d.sparse.end() - 1 && !(d.experts == *experts)) return {{}, "mixtures of experts that differ"};
    d.experts = *experts;
  }
  if (dense) {
    const auto ffn = options_of<FfnOptions>(*dense);
    if (ffn.limit > 0 || ffn.up_shift != 0) return {{}, "gated products that are cut or shifted"};
    d.hidden = ffn.hidden;
    d.activation = dense->options.value("activation", "silu");
    d.gated = ffn.gated;
    d.ffn_bias = ffn.bias;
  }
  settle(d);
  const Json& head = spec.heads[0].options;
  d.logit_scale = head.value("scale", 1.0);
  d.logit_softcap = head.value("softcap", 0.0);
  d.head_bias = head.value("bias", "none") == "trained";
  if (!(vocabulary_head(d) == spec.heads[0])) return {{}, "a head of its own"};
  return {std::move(d), ""};
}

void Keys::integer(const char* key, int64_t& value, int64_t fallback, int64_t low, int64_t high) {
  if (cfg_) value = cfg_->take_in<int64_t>(key, fallback, low, high);
  else (*out_)[key] = value;
}
void Keys::number(const char* key, double& value, double fallback, double low, double high) {
  if (cfg_) value = cfg_->take_in<double>(key, fallback, low, high);
  else (*out_)[key] = value;
}
void Keys::flag(const char* key, bool& value, bool fallback) {
  if (cfg_)
    value = cfg_->take<bool>(key, !cfg_->is_null(key) && fallback);
  else (*out_)[key] = value;
}
void Keys::integer_or_null(const char* key, int64_t& value, int64_t fallback) {
  if (cfg_) value = cfg_->take_in<int64_t>(key, cfg_->is_null(key) ? 0 : fallback, 0, int64_t{1} << 40);
  else (*out_)[key] = value > 0 ? Json(value) : Json();
}
void Keys::number_or_null(const char* key, double& value, double fallback) {
  if (cfg_) value = cfg_->take_in<double>(key, cfg_->is_null(key) ? 0 : fallback, 0, 1e30);
  else (*out_)[key] = value > 0 ? Json(value) : Json();
}
void Keys::reciprocal(const char* key, double& value, double fallback) {
  if (cfg_) {
    value = 1 / cfg_->take_in<double>(key, fallback, 1e-30, 1e30);
    return;
  }
  double inverse = 1 / value;
  for (const double near : {inverse, std::nextafter(inverse, 0.0), std::nextafter(inverse, 1e300)})
    if (1 / near == value) inverse = near;
  (*out_)[key] = inverse;
}
void Keys::activation(const char* key, std::string& value, const char* fallback) {
  if (cfg_) value = take_activation(*cfg_, key, fallback);
  else (*out_)[key] = activation_key(value);
}
void Keys::only(const char* key, const Json& value, const std::string& what) {
  if (!cfg_) {
    (*out_)[key] = value;
    return;
  }
  const bool present = cfg_->has(key);
  const Json found = cfg_->take_json(key);
  if (present && found != value) cfg_->reject(key, "is " + found.dump() + ": " + what + ", which this family does not have here", value.dump() + " is supported");
}
void Keys::ignore(std::initializer_list<const char*> keys, const char* reason) {
  for (const char* key : keys)
    if (cfg_) cfg_->ignore(key, reason);
}
void Keys::number(const char* key, PlainDecoder& d, double AttentionOptions::*option, double fallback) {
  of_every_layer(reading(), d, option, [&](double& value) { number(key, value, fallback); });
}
void Keys::number_or_null(const char* key, PlainDecoder& d, double AttentionOptions::*option, double fallback) {
  of_every_layer(reading(), d, option, [&](double& value) { number_or_null(key, value, fallback); });
}
void Keys::integer_or_null(const char* key, PlainDecoder& d, int64_t AttentionOptions::*option, int64_t fallback) {
  of_every_layer(reading(), d, option, [&](int64_t& value) { integer_or_null(key, value, fallback); });
}
void Keys::integer(const char* key, PlainDecoder& d, int64_t AttentionOptions::*option, int64_t fallback) {
  of_every_layer(reading(), d, option, [&](int64_t& value) { integer(key, value, fallback); });
}
void Keys::flag(const char* key, PlainDecoder& d, bool AttentionOptions::*option, bool fallback) {
  of_every_layer(reading(), d, option, [&](bool& value) { flag(key, value, fallback); });
}
void Keys::shares(const char* input, const char* result, Shares& shares) {
  number(input, shares.input, 1);
  number(result, shares.result, 1);
}
void Keys::table(const char* key, const std::function<void(Keys&)>& keys) {
  if (cfg_) {
    Config sub = cfg_->sub(key);
    Keys inner(sub);
    keys(inner);
    sub.finish();
    return;
  }
  Json& sub = (*out_)[key];
  sub = Json::object();
  Keys inner(sub);
  keys(inner);
}

void sizes(Keys& k, PlainDecoder& d, const Sizes& defaults, const SizeKeys& keys) {
  ModelSpec& spec = d.spec;
  k.integer(keys.vocab, spec.vocab, defaults.vocab, 1, kMost);
  k.integer(keys.width, spec.width, defaults.width, 1, 1 << 20);
  int64_t layers = static_cast<int64_t>(d.attention.size());
  k.integer(keys.layers, layers, defaults.layers, 1, 4096);
  AttentionOptions a = k.reading() ? AttentionOptions{} : d.attention[0];
  k.integer(keys.heads, a.heads, defaults.heads, 1, 65536);
  if (k.reading()) a.kv_heads = a.heads;
  if (keys.kv_heads) {
    int64_t kv_heads = a.kv_heads;
    k.integer_or_null(keys.kv_heads, kv_heads, defaults.kv_heads);
    if (kv_heads > 0) a.kv_heads = kv_heads;
  }
  if (k.reading()) a.head_dim = 0;
  if (keys.head_dim) k.integer_or_null(keys.head_dim, a.head_dim, defaults.head_dim);
  if (a.head_dim == 0) {
    if (spec.width < a.heads)
      k.config().reject(keys.heads, "must be at most " + std::string(keys.width) + " (" + std::to_string(spec.width) + "), not " + std::to_string(a.heads));
    a.head_dim = spec.width / a.heads;
  }
  if (keys.hidden) k.integer_or_null(keys.hidden, d.hidden, defaults.hidden);
  if (k.reading() && (!keys.hidden || d.hidden == 0)) d.hidden = 4 * spec.width;
  if (keys.positions) k.integer(keys.positions, spec.max_positions, defaults.positions, 1, 1 << 24);
  if (keys.eps) k.number(keys.eps, spec.norm_eps, defaults.eps, 0, 1);
  else if (k.reading()) spec.norm_eps = defaults.eps;
  if (!k.reading()) return;
  if (a.heads % a.kv_heads != 0) k.config().reject(keys.kv_heads ? keys.kv_heads : keys.heads, "must divide " + std::to_string(a.heads) + " heads, not " + std::to_string(a.kv_heads));
  a.norm_eps = spec.norm_eps;
  a.scale = 1.0 / std::sqrt(static_cast<double>(a.head_dim));
  a.rope = false;
  a.norm_gain = true;
  a.alibi_scale = 1;
  a.temperature_span = 8192;
  d.attention.assign(static_cast<size_t>(layers), a);
}

void common(Keys& k, PlainDecoder& d, bool tied) {
  if (k.reading()) {
    take_common(k.config(), d.spec, tied);
    k.ignore({"hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout", "layerdrop", "classifier_dropout", "embed_dropout", "resid_dropout", "residual_dropout", "embedding_dropout"}, "training of the original");
    return;
  }
  k.json().update({{"initializer_range", d.spec.init_std}, {"tie_word_embeddings", d.spec.tied}, {"use_cache", true}, {"torch_dtype", dtype_key(d.spec.dtype)}});
}

void biases(Keys& k, PlainDecoder& d, const char* key, bool fallback) {
  k.flag(key, d, &AttentionOptions::bias, fallback);
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.output_bias = a.bias;
}

void residual(Keys& k, PlainDecoder& d, const char* key, Residual parallel, bool fallback) {
  bool is = d.spec.residual == parallel;
  k.flag(key, is, fallback);
  if (k.reading()) d.spec.residual = is ? parallel : Residual::sequential;
}

void layer_norms(Keys& k, PlainDecoder& d, const char* key, QkNorm kind) {
  bool is = d.attention[0].qk_norm == kind;
  k.flag(key, is, false);
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.qk_norm = is ? kind : QkNorm::none;
}

void query_scalar(Keys& k, PlainDecoder& d, int64_t fallback) {
  double scalar = std::round(1e6 / (d.attention[0].scale * d.attention[0].scale)) / 1e6;
  k.number("query_pre_attn_scalar", scalar, static_cast<double>(fallback), 1e-9, 1e9);
  k.whole("query_pre_attn_scalar");
  if (k.reading())
    for (AttentionOptions& a : d.attention) a.scale = 1 / std::sqrt(scalar);
}

void still_where(PlainDecoder& d, const std::function<bool(size_t)>& still) {
  for (size_t i = 0; i < d.attention.size(); ++i)
    if (still(i)) {
      d.attention[i].rope = false;
      d.attention[i].rotation = {};
    }
}

void rotation_by_window(Keys& k, PlainDecoder& d, double theta, double sliding_theta) {
  if (!k.reading()) {
    const auto first = [&](bool slides) {
      const auto it = std::find_if(d.attention.begin(), d.attention.end(), [&](const AttentionOptions& a) { return (a.window > 0) == slides; });
      return it == d.attention.end() ? d.attention[0].rotation : it->rotation;
    };
    const RopeOptions all = first(false), sliding = first(true);
    const auto keys = [](const RopeOptions& rope) {
      Json out = rope_scaling_keys(rope.scaling);
      if (out.is_null()) out = {{"rope_type", "default"}};
      out["rope_theta"] = rope.theta;
      return out;
    };
    k.json()["rope_parameters"] = {{"full_attention", keys(all)}, {"sliding_attention", keys(sliding)}};
    return;
  }
  Config& cfg = k.config();
  Json parameters = cfg.take_json("rope_parameters");
  const auto take = [&](Json keys, double fallback) {
    Config part(std::move(keys), cfg.origin(), cfg.prefix());
    const RopeOptions rope = take_rope_options(part, d.spec, {.model_type = "", .architecture = "", .rope_theta = fallback}, d.attention[0].head_dim);
    part.finish();
    return rope;
  };
  RopeOptions all, sliding;
  if (parameters.is_object() && parameters.contains("full_attention")) {
    all = take({{"rope_parameters", parameters["full_attention"]}}, theta);
    sliding = take({{"rope_parameters", parameters.value("sliding_attention", Json::object())}}, sliding_theta);
    for (const char* key : {"rope_theta", "rope_scaling", "rope_local_base_freq"}) cfg.ignore(key, "rope_parameters says it for each kind of layer");
  } else {
    all = take({{"rope_theta", cfg.take_in<double>("rope_theta", theta, 1e-9, 1e30)}, {"rope_scaling", cfg.take_json("rope_scaling")}, {"rope_parameters", parameters}}, theta);
    sliding = take(Json::object(), cfg.take_in<double>("rope_local_base_freq", sliding_theta, 1e-9, 1e30));
  }
  for (AttentionOptions& a : d.attention) {
    a.rope = true;
    a.rotation = a.window > 0 ? sliding : all;
  }
}

void rotation(Keys& k, PlainDecoder& d, double theta, bool partial, double share) {
  if (!k.reading()) {
    const auto turns = std::find_if(d.attention.begin(), d.attention.end(), [](const AttentionOptions& o) { return o.rope; });
    const AttentionOptions& a = turns == d.attention.end() ? d.attention[0] : *turns;
    k.json().update({{"rope_theta", a.rotation.theta}, {"rope_scaling", rope_scaling_keys(a.rotation.scaling)}});
    if (partial) k.json()["partial_rotary_factor"] = static_cast<double>(a.rotation.rotary) / static_cast<double>(a.head_dim);
    return;
  }
  const RopeOptions rope = take_rope_options(k.config(), d.spec, {.model_type = "", .architecture = "", .rope_theta = theta, .rotary = share, .partial = partial}, d.attention[0].head_dim);
  for (AttentionOptions& a : d.attention) {
    a.rope = true;
    a.rotation = rope;
  }
}

void windows(Keys& k, PlainDecoder& d, int64_t window, const std::function<bool(size_t)>& slides) {
  if (!k.reading()) {
    Json types = Json::array();
    window = 0;
    for (const AttentionOptions& a : d.attention) {
      window = std::max(window, a.window);
      types.push_back(a.window > 0 ? "sliding_attention" : "full_attention");
    }
    k.integer_or_null("sliding_window", window, 0);
    k.json()["layer_types"] = types;
    return;
  }
  k.integer_or_null("sliding_window", window, window);
  const auto types = k.config().take<std::vector<std::string>>("layer_types", {});
  if (!types.empty() && types.size() != d.attention.size())
    k.config().reject("layer_types", "names " + std::to_string(types.size()) + " layers, there are " + std::to_string(d.attention.size()));
  for (size_t i = 0; i < d.attention.size(); ++i) {
    if (!types.empty() && types[i] != "full_attention" && types[i] != "sliding_attention")
      k.config().reject("layer_types", "holds '" + types[i] + "'; expected full_attention or sliding_attention");
    if (types.empty() ? slides(i) : types[i] == "sliding_attention") d.attention[i].window = window;
  }
}

std::function<bool(size_t)> window_pattern(Config& cfg, int64_t n, size_t layers) {
  const Json pattern = cfg.take_json("sliding_window_pattern");
  if (pattern.is_string()) {
    const auto letters = pattern.get<std::string>();
    if (letters.empty() || letters.find_first_not_of("LG") != std::string::npos)
      cfg.reject("sliding_window_pattern", "is '" + letters + "'; expected a row of L and G");
    return [=](size_t layer) { return layer + 1 < layers && letters[layer % letters.size()] == 'L'; };
  }
  n = std::max<int64_t>(cfg.take_in<int64_t>("sliding_window_pattern", n, 0, 4096), 1);
  return [=](size_t layer) { return (static_cast<int64_t>(layer) + 1) % n != 0; };
}

void other_layers(Keys& k, PlainDecoder& d, const std::function<bool(size_t)>& is_other, const LayerNames& names) {
  if (!k.reading()) {
    Json types = Json::array();
    for (size_t i = 0; i < d.attention.size(); ++i) types.push_back(!d.others.empty() && d.others[i] ? names.other[0] : names.attention[0]);
    k.json()[names.key] = types;
    return;
  }
  const char* key = k.either(names.key, "layers_block_type");
  const auto types = k.config().take<std::vector<std::string>>(key, {});
  if (!types.empty() && types.size() != d.attention.size())
    k.config().reject(key, "names " + std::to_string(types.size()) + " layers, there are " + std::to_string(d.attention.size()));
  const auto is = [](const std::vector<std::string>& kinds, const std::string& type) { return std::find(kinds.begin(), kinds.end(), type) != kinds.end(); };
  for (size_t i = 0; i < d.attention.size(); ++i) {
    if (!types.empty() && !is(names.attention, types[i]) && !is(names.other, types[i]))
      k.config().reject(key, "holds '" + types[i] + "'; expected " + names.attention[0] + " or " + names.other[0]);
    d.others.push_back(types.empty() ? is_other(i) : is(names.other, types[i]));
  }
}

void experts(Keys& k, PlainDecoder& d, const ExpertDialect& dialect) {
  const bool reading = k.reading();
  if (reading) d.sparse.assign(d.attention.size(), true);
  if (dialect.dense_hidden > 0) {
    std::vector<int64_t> named;
    int64_t hidden = d.hidden > 0 ? d.hidden : d.experts.hidden, every = 1;
    for (size_t i = 0; i < d.sparse.size(); ++i)
      if (!d.sparse[i]) named.push_back(static_cast<int64_t>(i));
    k.integer("intermediate_size", hidden, dialect.dense_hidden);
    k.integer("decoder_sparse_step", every, 1, 1, 4096);
    if (reading) {
      named = k.config().take<std::vector<int64_t>>("mlp_only_layers", {});
      d.hidden = hidden;
      for (size_t i = 0; i < d.sparse.size(); ++i) {
        const auto layer = static_cast<int64_t>(i);
        d.sparse[i] = (layer + 1) % every == 0 && std::find(named.begin(), named.end(), layer) == named.end();
      }
    } else {
      k.json()["mlp_only_layers"] = named;
    }
  }
  expert_keys(k, d.experts, dialect);
  if (reading && dialect.dense_hidden > 0) d.activation = d.experts.activation;
}

ModelSpec read_decoder(Config& cfg, const DecoderFamily& family) {
  Keys keys(cfg);
  PlainDecoder d;
  family.keys(keys, d);
  return spec_of(d);
}

// What was written must say everything: it is read again and compared.
Family::Written write_decoder(const ModelSpec& spec, const DecoderFamily& family) {
  DecoderOr found = decoder_of(spec);
  if (!found.decoder) return {{}, found.obstacle};
  PlainDecoder& d = *found.decoder;
  if (family.experts && !family.experts->scale_key) d.experts.scale = 1;
  Json config = {{"architectures", {family.architecture}}, {"model_type", family.model_type}, {"pad_token_id", Json()}};  // the families' own may be beyond a small vocabulary
  Keys writing(config);
  try {
    family.keys(writing, d);
    Config cfg(config, {.source = "config.json"});
    cfg.ignore("model_type", "known");
    Keys reading(cfg);
    PlainDecoder again;
    family.keys(reading, again);
    cfg.finish();
    settle(again);
    if (family.names.further_layer) again.further = d.further;  // the file's tensors say it
    again.spec.init_scaled_residual = d.spec.init_scaled_residual;  // no family has a key for it
    if (!(again == d)) return {{}, difference(spec_of(d).to_json(), spec_of(again).to_json())};
  } catch (const Error& e) {
    return {{}, e.what()};
  }
  return {config, ""};
}

void complete_further(ModelSpec& spec, const SafetensorsReader& file) {
  if (file.find("model.layers." + std::to_string(spec.layers.size()) + ".eh_proj.weight")) spec.heads.push_back(further_head(spec.layers.back()));
}

std::vector<StoredTensor> decoder_tensors(const Model& model, const TensorNames& present, const DecoderFamily& family) {
  const ModelSpec& spec = model.spec();
  DecoderNames names = family.names;
  if (family.adapt) family.adapt(spec, names);
  NameMap map(model);
  // Published files may leave out the first part of every name.
  std::string root;
  if (const std::string embedding = names.embedding; !present.empty() && !present.contains(embedding + ".weight")) root = embedding.substr(0, embedding.find('.') + 1);
  const auto theirs = [&](const std::string& name) { return !root.empty() && name.starts_with(root) ? name.substr(root.size()) : name; };
  const auto both = [&](const std::string& name, const std::string& ours, double offset = 0, const char* weight = ".weight") {
    if (!map.has(ours)) return;
    map.whole(theirs(name) + weight, ours, 1, offset);
    if (map.has(ours + "_bias")) map.whole(theirs(name) + ".bias", ours + "_bias");
  };
  const auto stacked = [&](const std::string& name, const std::vector<std::string>& ours) {
    map.stacked(theirs(name) + ".weight", ours);
    std::vector<std::string> biases;
    for (const std::string& parameter : ours) biases.push_back(parameter + "_bias");
    if (map.has(biases[0])) map.stacked(theirs(name) + ".bias", biases);
  };
  // Each head's rows of the first, then of the second.
  const auto turns = [&](const std::string& name, const std::string& first, const std::string& second, int64_t heads) {
    for (const auto& [weight, bias] : {std::pair(".weight", ""), std::pair(".bias", "_bias")}) {
      if (!map.has(first + bias)) continue;
      const Shape& s = map.shape(first + bias);
      StoredTensor tensor{theirs(name) + weight, {s.dims().begin(), s.dims().end()}, {}, 1, false, 0, 1, s.elements() / heads};
      tensor.shape[0] *= 2;
      for (const std::string& parameter : {first, second}) tensor.parts.push_back({parameter + bias, 0, s.elements()});
      map.add(std::move(tensor));
    }
  };
  both(names.embedding, "embedding");
  if (names.positions) both(names.positions, "positions");
  if (names.embedding_norm) both(names.embedding_norm, "embedding_norm", names.centre, names.gain);
  if (names.widening) both(names.widening, "embedding_widening");
  if (names.narrowing) both(names.narrowing, "head.narrow");
  // Layer i of the files, whose parts are those of layer `like` here.
  const auto name_layer = [&](size_t i, const std::string& ours, size_t like) {
    const std::string layer = names.layer + std::to_string(i) + ".", mixer = ours + "mixer.", channel = ours + "channel.";
    for (const auto& [name, parameter] : {std::pair(names.mixer_norm, "mixer_norm"), std::pair(names.mixer_post_norm, "mixer_post_norm"), std::pair(names.channel_norm, "channel_norm"),
                                          std::pair(names.channel_post_norm, "channel_post_norm")})
      if (name) both(layer + name, ours + parameter, names.centre, names.gain);
    const std::string& kind = spec.layers[like].mixer.kind;
    const bool still = kind == "none", other = !still && kind != "attention" && kind != "mla";
    if (still) {
      // only what follows
    } else if (other) {
      family.other(map, theirs(layer), mixer, spec, like);
    } else if (map.has(mixer + "latent_down")) {
      name_latent(map, theirs(layer) + "self_attn.", mixer, mla_options(spec, like));
    } else if (names.qkv && names.grouped) {
      const AttentionOptions a = attention_options(spec, like);
      for (const bool bias : {false, true}) {
        if (bias && !map.has(mixer + "query_bias")) continue;
        const int64_t row = bias ? 1 : spec.width, head = a.head_dim * row, group = a.heads / a.kv_heads, rows = (a.heads + 2 * a.kv_heads) * a.head_dim;
        StoredTensor tensor{theirs(layer + names.qkv) + (bias ? ".bias" : ".weight"), bias ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, row}, {}};
        for (int64_t g = 0; g < a.kv_heads; ++g)
          for (const auto& [parameter, heads] : {std::pair("query", group), std::pair("key", int64_t{1}), std::pair("value", int64_t{1})})
            tensor.parts.push_back({mixer + parameter + (bias ? "_bias" : ""), g * heads * head, heads * head});
        map.add(std::move(tensor));
      }
    } else if (names.qkv) {
      stacked(layer + names.qkv, {mixer + "query", mixer + "key", mixer + "value"});
    } else {
      if (names.gated_query) turns(layer + names.query, mixer + "query", mixer + "gate", attention_options(spec, like).heads);
      else both(layer + names.query, mixer + "query");
      both(layer + names.key, mixer + "key");
      both(layer + names.value, mixer + "value");
    }
    if (!still && !other && !map.has(mixer + "latent_down")) {
      both(layer + names.output, mixer + "output");
      if (map.has(mixer + "sinks")) map.whole(theirs(layer + "self_attn.sinks"), mixer + "sinks");
      const AttentionOptions a = attention_options(spec, like);
      for (const auto& [name, parameter, heads] : {std::tuple(names.query_norm, "query_norm", a.heads), std::tuple(names.key_norm, "key_norm", a.kv_heads)}) {
        const std::string whole = theirs(layer + name), ours_whole = mixer + parameter;
        if (a.qk_norm != QkNorm::layer)
          both(layer + name, ours_whole, names.centre, names.gain);
        else if (!names.norm_by_head)
          map.reshaped(whole + names.gain, ours_whole, {heads, a.head_dim});
        else
          for (int64_t h = 0; h < heads; ++h) map.add({whole + "." + std::to_string(h) + names.gain, {a.head_dim}, {{ours_whole, h * a.head_dim, a.head_dim}}});
      }
      if (names.attention_gate) both(layer + names.attention_gate, mixer + "gate");
    }
    if (family.experts && map.has(channel + "router")) {
      name_experts(map, spec.layers[like].channel, channel, theirs(layer), *family.experts, present);
      return;
    }
    if (!map.has(channel + "up")) {
      both(layer + names.up, channel + "gate");  // the one matrix into a layer without gates
    } else if (names.gate_up) {
      stacked(layer + names.gate_up, {channel + "gate", channel + "up"});
    } else {
      both(layer + names.gate, channel + "gate");
      both(layer + names.up, channel + "up");
    }
    both(layer + names.down, channel + "down");
  };
  for (size_t i = 0; i < spec.layers.size(); ++i) name_layer(i, "layers." + std::to_string(i) + ".", i);
  if (map.has("further.1.project")) {
    const size_t last = spec.layers.size();
    name_layer(last, "further.1.", last - 1);
    for (const auto& [name, parameter] : {std::pair("enorm", "embedding_norm"), std::pair("hnorm", "hidden_norm"), std::pair("eh_proj", "project"), std::pair("shared_head.norm", "norm")})
      both(names.layer + std::to_string(last) + "." + name, std::string("further.1.") + parameter);
  }
  both(names.final_norm, "final_norm", names.centre, names.gain);
  if (!spec.tied) both(names.head, "head");
  if (map.has("head.bias")) map.whole(std::string(names.head) + ".bias", "head.bias");
  return map.take();
}

}  // namespace gamut
