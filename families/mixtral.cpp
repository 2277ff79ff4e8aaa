// Mixtral: Llama's skeleton with a mixture of experts in every layer. [Jiang et al., Mixtral of Experts, 2024]
#include "families/skeleton.h"
#include "modules/channels/routers/router.h"

namespace gamut {
namespace {

ModelSpec read(Config& cfg) {
  ModelSpec spec = read_skeleton(cfg, {.kv_heads = 8, .norm_eps = 1e-5, .rope_theta = 1e6, .max_positions = 4096 * 32});
  Component moe{"moe", Json::object()};
  const auto experts = cfg.take_in<int64_t>("num_local_experts", 8, 1, 1 << 16), k = cfg.take_in<int64_t>("num_experts_per_tok", 2, 1, 1 << 16);
  if (k > experts) cfg.reject("num_experts_per_tok", "is " + std::to_string(k) + ", more than the " + std::to_string(experts) + " experts");
  moe.options["experts"] = experts;
  moe.options["top_k"] = k;
  moe.options["hidden"] = cfg.take_in<int64_t>("intermediate_size", 14336, 1, int64_t{1} << 24);
  moe.options["activation"] = take_activation(cfg);
  Json router = {{"kind", "topk"}, {"normalise", true}, {"balance", "none"}};
  const double coefficient = cfg.take_in<double>("router_aux_loss_coef", 0.001, 0, 100);
  if (cfg.take<bool>("output_router_logits", false) && coefficient > 0) {
    // transformers adds its loss only then. It counts a token's k choices as k, ours as one.
    router["balance"] = "pooled";
    router["balance_loss"] = coefficient * static_cast<double>(k);
  }
  cfg.ignore("router_jitter_noise", "noise in training of the original");
  moe.options["router"] = router;
  for (LayerSpec& layer : spec.layers) layer.channel = moe;
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  const Skeleton s = understand_skeleton(spec);
  if (!s.obstacle.empty()) return {{}, s.obstacle};
  if (s.attention.bias) return {{}, "biases"};
  for (const LayerSpec& layer : spec.layers)
    if (layer.channel.kind != "moe" || !(layer.channel == spec.layers[0].channel)) return {{}, "layers whose channel mixers are not one kind of moe"};
  const auto moe = options_of<MoeOptions>(spec.layers[0].channel);
  const std::string activation = activation_key(spec.layers[0].channel.options.value("activation", "silu"));
  if (!moe.expert.gated || activation.empty()) return {{}, "experts that are not gated"};
  if (moe.shared_hidden > 0) return {{}, "a shared expert"};
  if (moe.capacity_factor > 0) return {{}, "a capacity that drops tokens"};
  if (moe.router != "topk" && moe.router != "random") return {{}, "the router " + moe.router};
  const auto router = options_of<TopKOptions>({moe.router, moe.router_options});
  if (router.score != kernels::RouterScore::softmax || !router.normalise || router.balance == "bias") return {{}, "a router other than normalised softmax top-k"};
  Json config = write_skeleton(spec, s.attention, "mixtral", "MixtralForCausalLM");
  config["intermediate_size"] = moe.expert.hidden;
  config["hidden_act"] = activation;
  config["sliding_window"] = s.attention.window > 0 ? Json(s.attention.window) : Json();
  config["num_local_experts"] = moe.experts;
  config["num_experts_per_tok"] = moe.top_k;
  config["output_router_logits"] = router.balance == "pooled";
  config["router_aux_loss_coef"] = router.balance_loss / static_cast<double>(moe.top_k);
  config["router_jitter_noise"] = 0.0;
  return {config, ""};
}

// Experts lie one tensor each (block_sparse_moe.experts.E.w1 gate, w2 down, w3 up), or fused (experts.gate_up_proj [E, 2I, D], gate
// rows first, and down_proj [E, D, I]); transformers 5 calls the module mlp. All combinations are read; the first is written.
std::vector<StoredTensor> tensors(const Model& model, const TensorNames& present) {
  NameMap map(model);
  map.skeleton(model.spec());
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", ours = "layers." + std::to_string(i) + ".channel.";
    const std::string theirs = layer + (present.contains(layer + "mlp.gate.weight") ? "mlp." : "block_sparse_moe.");
    const auto moe = options_of<MoeOptions>(model.spec().layers[i].channel);
    // Mixtral knows no scale: it goes into the last projection.
    const double scale = options_of<TopKOptions>({moe.router, moe.router_options}).scale;
    map.whole(theirs + "gate.weight", ours + "router");
    const Shape& gate = map.shape(ours + "gate");  // [E, I, D]
    const int64_t experts = gate[0], hidden = gate[1], width = gate[2], each = hidden * width;
    if (present.contains(theirs + "experts.gate_up_proj")) {
      StoredTensor both{theirs + "experts.gate_up_proj", {experts, 2 * hidden, width}, {}};
      for (int64_t e = 0; e < experts; ++e)
        for (const char* name : {"gate", "up"}) both.parts.push_back({ours + name, e * each, each});
      map.add(std::move(both));
      map.whole(theirs + "experts.down_proj", ours + "down", scale);
      continue;
    }
    for (int64_t e = 0; e < experts; ++e) {
      const std::string expert = theirs + "experts." + std::to_string(e) + ".";
      map.add({expert + "w1.weight", {hidden, width}, {{ours + "gate", e * each, each}}});
      map.add({expert + "w2.weight", {width, hidden}, {{ours + "down", e * each, each}}, scale});
      map.add({expert + "w3.weight", {hidden, width}, {{ours + "up", e * each, each}}});
    }
  }
  return map.take();
}

}  // namespace

const Family kMixtral{"mixtral", "Llama's skeleton with a mixture of experts in every layer: softmax top-k, gates divided by their sum. [Jiang et al., Mixtral of Experts, 2024]",
                      read, write, tensors, skeleton_ignores};

}  // namespace gamut
