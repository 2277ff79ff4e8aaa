// RWKV-4 in transformers' layout; RWKV-5 and -6 under the names of BlinkDL's own files, for which no config.json is published: ours says
// "gamut_layout": "blinkdl", and ranks are read from the tensors. [Peng et al. 2023; 2024]
#include <array>
#include <cmath>

#include "families/skeleton.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

// Where the versions differ; names of tensors are those below a block.
struct Version {
  const char *model_type, *architecture, *mixer;
  const char *embedding, *blocks, *final_norm, *first_norm, *time, *channel;  // `time` and `channel`: starts of names
  const char *mix_key, *mix_receptance;                                       // of the feed-forward layers
  bool present;                                                               // shares of mixtures are those of the present
  int64_t vocab;
};
constexpr Version kFour{"rwkv",       "RwkvForCausalLM", "rwkv4",        "rwkv.embeddings",     "rwkv.blocks.", "rwkv.ln_out", "pre_ln",
                        "attention.", "feed_forward.",   "time_mix_key", "time_mix_receptance", true,           50277};
constexpr Version kFive{"rwkv5", "RWKV5", "rwkv5", "emb", "blocks.", "ln_out", "ln0", "att.", "ffn.", "time_mix_k", "time_mix_r", true, 65536};
constexpr Version kSix{"rwkv6", "RWKV6", "rwkv6", "emb", "blocks.", "ln_out", "ln0", "att.", "ffn.", "time_maa_k", "time_maa_r", false, 65536};
constexpr std::array kMixes{"w", "k", "v", "r", "g"};  // in the order of RWKV-6's tensors

bool four(const Version& version) { return &version == &kFour; }

Rwkv6Options options(const ModelSpec& spec, const Version& version) {
  Config cfg(spec.layers[0].mixer.options, {.source = "model"});
  return Rwkv6Options::take(cfg, spec, &version == &kSix);
}
Component channel(const Version& version, int64_t hidden) {
  Component c{"shifted_ffn", {{"hidden", hidden}, {"activation", "relu2"}, {"gated", false}, {"receptance", true}}};
  if (version.present) c.options["mix"] = "present";
  return c;
}

template <const Version& kVersion> ModelSpec read(Config& cfg) {
  ModelSpec spec;
  if (!four(kVersion)) cfg.take_choice("gamut_layout", "blinkdl", {"blinkdl"});
  spec.vocab = cfg.take_in<int64_t>("vocab_size", kVersion.vocab, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", four(kVersion) ? 4096 : 2048, 1, 1 << 20);
  spec.norm = "layer";
  spec.norm_eps = cfg.take_in<double>("layer_norm_epsilon", 1e-5, 0, 1);
  spec.max_positions = cfg.take_in<int64_t>(four(kVersion) ? "context_length" : "max_position_embeddings", four(kVersion) ? 1024 : 2048, 1, 1 << 24);
  spec.embedding_norm = true;
  take_common(cfg, spec, false);
  Component mixer{kVersion.mixer, {{"inner", cfg.take_in<int64_t>("attention_hidden_size", spec.width, 1, 1 << 20)}}};
  if (four(kVersion)) {
    cfg.ignore("rescale_every", "keeps numbers of 16 bits small");
  } else {
    mixer.options["head_dim"] = cfg.take_in<int64_t>("head_size", 64, 1, 1024);
    const auto divisor = cfg.take_in<double>("head_size_divisor", 8, 1e-3, 1e3);
    mixer.options["norm_eps"] = 1e-5 * divisor * divisor;
  }
  const int64_t usual = four(kVersion) ? 4 * spec.width : std::max<int64_t>(32, spec.width * 7 / 2 / 32 * 32);
  const auto hidden = cfg.take_in<int64_t>("intermediate_size", usual, 1, int64_t{1} << 24);
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("num_hidden_layers", four(kVersion) ? 32 : 24, 1, 4096)), {mixer, channel(kVersion, hidden)});
  return spec;
}

template <const Version& kVersion> Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.norm != "layer" || spec.placement != NormPlacement::pre || !spec.embedding_norm)
    return cannot("norms other than LayerNorm after the embedding and before each block");
  if (spec.embedding_scale != 1 || spec.positions != "none") return cannot("positions or scales");
  if (const std::string more = beyond_decoder(spec); !more.empty()) return cannot(more);
  for (const LayerSpec& layer : spec.layers)
    if (layer.mixer.kind != kVersion.mixer || layer.channel.kind != "shifted_ffn" || !(layer == spec.layers[0]))
      return cannot(std::string("layers other than ") + kVersion.mixer + " and shifted_ffn, all alike");
  const auto ffn = options_of<ShiftedFfnOptions>(spec.layers[0].channel);
  if (ffn.ffn.gated || ffn.ffn.bias || ffn.ffn.activation != kernels::Activation::relu2 || !ffn.receptance || ffn.mix_present != kVersion.present)
    return cannot("feed-forward layers other than squared ReLU behind a receptance");
  Json config = {{"model_type", kVersion.model_type},   {"architectures", {kVersion.architecture}}, {"vocab_size", spec.vocab},
                 {"hidden_size", spec.width},           {"num_hidden_layers", spec.layers.size()},  {"intermediate_size", ffn.ffn.hidden},
                 {"layer_norm_epsilon", spec.norm_eps}, {"initializer_range", spec.init_std},       {"tie_word_embeddings", spec.tied},
                 {"torch_dtype", dtype_key(spec.dtype)}};
  if (four(kVersion)) {
    config["attention_hidden_size"] = spec.layers[0].mixer.options.value("inner", spec.width);
    config["context_length"] = spec.max_positions;
    config["rescale_every"] = 0;
    config["use_cache"] = true;
    return {config, ""};
  }
  const Rwkv6Options o = options(spec, kVersion);
  const double divisor = std::round(1e6 * std::sqrt(o.norm_eps / 1e-5)) / 1e6;
  if (1e-5 * divisor * divisor != o.norm_eps) return cannot("an epsilon of its own behind the heads");
  config.update({{"gamut_layout", "blinkdl"},
                 {"attention_hidden_size", o.inner},
                 {"head_size", o.head_dim},
                 {"head_size_divisor", divisor},
                 {"max_position_embeddings", spec.max_positions}});
  return {config, ""};
}

// The ranks of RWKV-6.
void complete(ModelSpec& spec, const SafetensorsReader& file) {
  for (LayerSpec& layer : spec.layers) {
    if (const TensorView* up = file.find("blocks.0.att.time_maa_w2"); up && up->shape.size() == 3) layer.mixer.options["mix_rank"] = up->shape[1];
    if (const TensorView* up = file.find("blocks.0.att.time_decay_w2"); up && up->shape.size() == 2) layer.mixer.options["decay_rank"] = up->shape[0];
  }
}

// Time mixing of RWKV-5 and -6.
void name_heads(NameMap& map, const std::string& theirs, const std::string& ours, const Version& version) {
  const bool six = &version == &kSix;
  const auto turned = [&](const std::string& name, const std::vector<std::string>& parameters, std::vector<int64_t> shape, int64_t matrices = 1) {
    StoredTensor tensor{.name = theirs + name, .shape = std::move(shape), .parts = {}, .transposed = true, .matrices = matrices};
    for (const std::string& parameter : parameters) tensor.parts.push_back({ours + parameter, 0, map.shape(ours + parameter).elements()});
    map.add(std::move(tensor));
  };
  const Shape& bonus = map.shape(ours + "bonus");
  const int64_t inner = bonus.elements(), width = map.shape(ours + "output")[0];
  map.whole(theirs + "time_faaaa", ours + "bonus");
  map.reshaped(theirs + "time_decay", ours + "decay", six ? std::vector<int64_t>{1, 1, inner} : std::vector<int64_t>{bonus[0], bonus[1]});
  map.whole(theirs + "gate.weight", ours + "gate");
  map.whole(theirs + "ln_x.weight", ours + "norm");
  map.whole(theirs + "ln_x.bias", ours + "norm_bias");
  for (const char* c : kMixes)
    if (map.has(ours + "mix_" + c)) map.reshaped(theirs + (six ? "time_maa_" : "time_mix_") + c, ours + "mix_" + c, {1, 1, width});
  if (!six) return;
  map.reshaped(theirs + "time_maa_x", ours + "mix_x", {1, 1, width});
  std::vector<std::string> downs, ups;
  for (const char* c : kMixes) {
    downs.push_back(std::string("mix_") + c + "_down");
    ups.push_back(std::string("mix_") + c + "_up");
  }
  const int64_t rank = map.shape(ours + downs[0])[0], decay_rank = map.shape(ours + "decay_down")[0], count = kMixes.size();
  turned("time_maa_w1", downs, {width, count * rank});
  turned("time_maa_w2", ups, {count, rank, width}, count);
  turned("time_decay_w1", {"decay_down"}, {width, decay_rank});
  turned("time_decay_w2", {"decay_up"}, {decay_rank, inner});
}

template <const Version& kVersion> std::vector<StoredTensor> tensors(const Model& model, const TensorNames&) {
  NameMap map(model);
  const ModelSpec& spec = model.spec();
  const auto norm = [&](const std::string& theirs, const std::string& ours) {
    map.whole(theirs + ".weight", ours);
    map.whole(theirs + ".bias", ours + "_bias");
  };
  const auto mix = [&](const std::string& theirs, const std::string& ours) { map.reshaped(theirs, ours, {1, 1, spec.width}); };
  map.whole(std::string(kVersion.embedding) + ".weight", "embedding");
  norm(std::string(kVersion.blocks) + "0." + kVersion.first_norm, "embedding_norm");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string ours = "layers." + std::to_string(i) + ".", block = kVersion.blocks + std::to_string(i) + ".", time = block + kVersion.time,
                      ffn = block + kVersion.channel;
    norm(block + "ln1", ours + "mixer_norm");
    norm(block + "ln2", ours + "channel_norm");
    for (const char* name : {"receptance", "key", "value", "output"}) map.whole(time + name + ".weight", ours + "mixer." + name);
    if (four(kVersion)) {
      map.whole(time + "time_decay", ours + "mixer.decay");
      map.whole(time + "time_first", ours + "mixer.bonus");
      for (const auto& [theirs, c] : {std::pair("key", "k"), std::pair("value", "v"), std::pair("receptance", "r")})
        mix(time + "time_mix_" + theirs, ours + "mixer.mix_" + c);
    } else {
      name_heads(map, time, ours + "mixer.", kVersion);
    }
    mix(ffn + kVersion.mix_key, ours + "channel.mix");
    mix(ffn + kVersion.mix_receptance, ours + "channel.receptance_mix");
    map.whole(ffn + "key.weight", ours + "channel.gate");
    map.whole(ffn + "value.weight", ours + "channel.down");
    map.whole(ffn + "receptance.weight", ours + "channel.receptance");
  }
  norm(kVersion.final_norm, "final_norm");
  if (!spec.tied) map.whole("head.weight", "head");
  return map.take();
}

bool ignores(const ModelSpec& spec, const std::string& tensor) { return spec.tied && tensor == "head.weight"; }

template <const Version& kVersion> Family family_of(const char* meaning) {
  return {kVersion.model_type, meaning, read<kVersion>, write<kVersion>, tensors<kVersion>, ignores, &kVersion == &kSix ? complete : nullptr};
}

}  // namespace

Family rwkv() { return family_of<kFour>("Recurrent layers with token shift: means of all values so far, with weights that decay. [Peng et al., RWKV, 2023]"); }
Family rwkv5() { return family_of<kFive>("Recurrent layers with token shift: a state per head that decays per channel. [Peng et al., Eagle, 2024]"); }
Family rwkv6() { return family_of<kSix>("Recurrent layers with token shift: a state per head that decays as the text says. [Peng et al., Finch, 2024]"); }

}  // namespace gamut::family
