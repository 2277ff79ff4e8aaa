#include "families/dense.h"

namespace gamut {

ModelSpec read_dense(Config& cfg, const SkeletonDefaults& defaults) {
  ModelSpec spec = read_skeleton(cfg, defaults);
  Component channel{"ffn", {{"hidden", cfg.take_in<int64_t>("intermediate_size", 11008, 1, int64_t{1} << 24)}, {"activation", take_activation(cfg)}}};
  if (cfg.take<bool>("mlp_bias", false)) channel.options["bias"] = true;
  for (LayerSpec& layer : spec.layers) layer.channel = channel;
  return spec;
}

Family::Written write_dense(const ModelSpec& spec, const std::string& model_type, const std::string& architecture, bool windowed) {
  const Skeleton s = understand_skeleton(spec);
  if (!s.obstacle.empty()) return {{}, s.obstacle};
  if ((s.attention.window > 0) != windowed) return {{}, windowed ? "attention without a window" : "a sliding window"};
  if (spec.width % s.attention.heads != 0) return {{}, "a width that is no multiple of the heads"};
  for (const LayerSpec& layer : spec.layers)
    if (layer.channel.kind != "ffn" || !(layer.channel == spec.layers[0].channel)) return {{}, "layers whose channel mixers are not one kind of ffn"};
  const auto ffn = options_of<FfnOptions>(spec.layers[0].channel);
  const std::string activation = activation_key(spec.layers[0].channel.options.value("activation", "silu"));
  if (!ffn.gated || activation.empty()) return {{}, "feed-forward layers that are not gated"};
  if (windowed && (s.attention.bias || ffn.bias)) return {{}, "biases"};
  Json config = write_skeleton(spec, s.attention, model_type, architecture);
  config["intermediate_size"] = ffn.hidden;
  config["hidden_act"] = activation;
  if (windowed) {
    config["sliding_window"] = s.attention.window;
  } else {
    config["attention_bias"] = s.attention.bias;
    config["mlp_bias"] = ffn.bias;
  }
  return {config, ""};
}

std::vector<StoredTensor> dense_tensors(const Model& model, const TensorNames&) {
  NameMap map(model);
  map.skeleton(model.spec());
  for (size_t i = 0; i < model.spec().layers.size(); ++i)
    for (const char* name : {"gate", "up", "down"}) {
      const std::string theirs = "model.layers." + std::to_string(i) + ".mlp." + name + "_proj", ours = "layers." + std::to_string(i) + ".channel." + name;
      map.whole(theirs + ".weight", ours);
      if (map.has(ours + "_bias")) map.whole(theirs + ".bias", ours + "_bias");
    }
  return map.take();
}

}  // namespace gamut
