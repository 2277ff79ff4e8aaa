#include "families/dense.h"

namespace gamut {

Component take_gated_ffn(Config& cfg, bool bias_key) {
  Component channel{"ffn", {{"hidden", cfg.take_in<int64_t>("intermediate_size", 11008, 1, int64_t{1} << 24)}, {"activation", take_activation(cfg)}}};
  if (bias_key && cfg.take<bool>("mlp_bias", false)) channel.options["bias"] = true;
  return channel;
}

std::string write_gated_ffn(const Component& channel, bool bias_key, Json& config) {
  if (channel.kind != "ffn") return "the channel mixer " + channel.kind;
  const auto ffn = options_of<FfnOptions>(channel);
  const std::string activation = activation_key(channel.options.value("activation", "silu"));
  if (!ffn.gated || activation.empty()) return "feed-forward layers that are not gated";
  if (ffn.limit > 0 || ffn.up_shift != 0) return "gated products that are cut or shifted";
  if (ffn.bias && !bias_key) return "biases in feed-forward layers";
  config["intermediate_size"] = ffn.hidden;
  config["hidden_act"] = activation;
  if (bias_key) config["mlp_bias"] = ffn.bias;
  return "";
}

void name_gated_ffn(NameMap& map, size_t layer) {
  for (const char* name : {"gate", "up", "down"}) {
    const std::string theirs = "model.layers." + std::to_string(layer) + ".mlp." + name + "_proj", ours = "layers." + std::to_string(layer) + ".channel." + name;
    map.whole(theirs + ".weight", ours);
    map.optional(theirs + ".bias", ours + "_bias");
  }
}

ModelSpec read_dense(Config& cfg, const Dialect& dialect, bool bias_key) {
  ModelSpec spec = read_skeleton(cfg, dialect);
  const Component channel = take_gated_ffn(cfg, bias_key);
  for (LayerSpec& layer : spec.layers) layer.channel = channel;
  return spec;
}

Family::Written write_dense(const ModelSpec& spec, const Dialect& dialect, bool bias_key) {
  Family::Written written = write_skeleton(spec, dialect);
  if (!written.obstacle.empty()) return written;
  for (const LayerSpec& layer : spec.layers)
    if (!(layer.channel == spec.layers[0].channel)) return {{}, "layers whose channel mixers differ"};
  if (const std::string why = write_gated_ffn(spec.layers[0].channel, bias_key, written.config); !why.empty()) return {{}, why};
  return written;
}

std::vector<StoredTensor> dense_tensors(const Model& model, const TensorNames&) {
  NameMap map(model);
  map.skeleton(model.spec());
  for (size_t i = 0; i < model.spec().layers.size(); ++i) name_gated_ffn(map, i);
  return map.take();
}

}  // namespace gamut
