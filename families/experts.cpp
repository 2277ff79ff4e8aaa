#include "families/experts.h"

#include <algorithm>
#include <set>

#include "families/dense.h"
#include "modules/channels/routers/router.h"

namespace gamut {

Component take_experts(Config& cfg, const ExpertDialect& dialect) {
  const auto experts = cfg.take_in<int64_t>("num_experts", cfg.take_in<int64_t>("num_local_experts", dialect.experts, 1, 1 << 16), 1, 1 << 16);
  const auto k = cfg.take_in<int64_t>("num_experts_per_tok", dialect.top_k, 1, 1 << 16);
  if (k > experts) cfg.reject("num_experts_per_tok", "is " + std::to_string(k) + ", more than the " + std::to_string(experts) + " experts");
  Component moe{"moe", {{"experts", experts}, {"top_k", k}, {"hidden", cfg.take_in<int64_t>(dialect.hidden_key, 11008, 1, int64_t{1} << 24)}, {"activation", take_activation(cfg)}}};
  Json router = {{"kind", "topk"}, {"normalise", !dialect.normalise_key || cfg.take<bool>("norm_topk_prob", false)}, {"balance", "none"}};
  const double coefficient = cfg.take_in<double>("router_aux_loss_coef", dialect.balance_loss, 0, 100);
  if (cfg.take<bool>("output_router_logits", false) && coefficient > 0) {
    // transformers adds its loss only then. It counts a token's k choices as k, ours as one.
    router["balance"] = "pooled";
    router["balance_loss"] = coefficient * static_cast<double>(k);
  }
  moe.options["router"] = router;
  if (dialect.shared_hidden_key) {
    moe.options["shared_hidden"] = cfg.take_in<int64_t>(dialect.shared_hidden_key, 0, 0, int64_t{1} << 24);
    moe.options["shared_gate"] = true;
  }
  return moe;
}

// The keys into `config`, or why they cannot express the component.
std::string write_experts(const Component& channel, const ExpertDialect& dialect, Json& config) {
  if (channel.kind != "moe") return "the channel mixer " + channel.kind;
  const auto moe = options_of<MoeOptions>(channel);
  const std::string activation = activation_key(channel.options.value("activation", "silu"));
  if (!moe.expert.gated || activation.empty()) return "experts that are not gated";
  if ((moe.shared_hidden > 0) != (dialect.shared_hidden_key != nullptr) || moe.shared_gate != (dialect.shared_hidden_key != nullptr)) return moe.shared_hidden > 0 ? "a shared expert" : "no shared expert";
  if (moe.drop.limited()) return "a capacity that drops tokens";
  static const std::set<std::string> known_options{"experts", "top_k", "hidden", "activation", "gated", "shared_hidden", "shared_gate", "router"},
      known_router{"kind", "score", "normalise", "scale", "balance", "balance_loss", "bias_rate"};
  for (const auto& [options, known] : {std::pair(&channel.options, &known_options), std::pair(&moe.router_options, &known_router)})
    for (const auto& [key, value] : options->items())
      if (!known->contains(key)) return "the option " + key + " of experts";
  if (moe.router != "topk" && moe.router != "random") return "the router " + moe.router;
  const auto router = options_of<TopKOptions>({moe.router, moe.router_options});
  if (router.score != kernels::RouterScore::softmax || router.balance == "bias") return "a router other than softmax top-k";
  if (!router.normalise && !dialect.normalise_key) return "gates that are not divided by their sum";
  config[dialect.count_key] = moe.experts;
  config["num_experts_per_tok"] = moe.top_k;
  config[dialect.hidden_key] = moe.expert.hidden;
  config["hidden_act"] = activation;
  if (dialect.normalise_key) config["norm_topk_prob"] = router.normalise;
  if (dialect.shared_hidden_key) config[dialect.shared_hidden_key] = moe.shared_hidden;
  config["output_router_logits"] = router.balance == "pooled";
  config["router_aux_loss_coef"] = router.balance_loss / static_cast<double>(moe.top_k);
  return "";
}

void name_experts(NameMap& map, const Model& model, size_t layer, const ExpertDialect& dialect, const TensorNames& present) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".", ours = "layers." + std::to_string(layer) + ".channel.";
  const std::string theirs = prefix + (present.contains(prefix + "mlp." + dialect.router + ".weight") ? "mlp" : dialect.module) + ".";
  const auto moe = options_of<MoeOptions>(model.spec().layers[layer].channel);
  // Published families know no scale of gates: it goes into the last projection.
  const double scale = options_of<TopKOptions>({moe.router, moe.router_options}).scale;
  map.whole(theirs + dialect.router + ".weight", ours + "router");
  if (dialect.shared_hidden_key) {
    for (const auto& [their, our] : {std::pair("gate_proj", "shared_gate"), std::pair("up_proj", "shared_up"), std::pair("down_proj", "shared_down")}) {
      const Shape& s = map.shape(ours + our);  // [1, rows, columns]
      map.reshaped(theirs + "shared_expert." + their + ".weight", ours + our, {s[1], s[2]});
    }
    map.whole(theirs + "shared_expert_gate.weight", ours + "shared_router");
  }
  const Shape& gate = map.shape(ours + "gate");  // [E, I, D]
  const int64_t experts = gate[0], hidden = gate[1], width = gate[2], each = hidden * width;
  if (present.contains(theirs + "experts.gate_up_proj")) {
    StoredTensor both{theirs + "experts.gate_up_proj", {experts, 2 * hidden, width}, {}};
    for (int64_t e = 0; e < experts; ++e)
      for (const char* name : {"gate", "up"}) both.parts.push_back({ours + name, e * each, each});
    map.add(std::move(both));
    map.whole(theirs + "experts.down_proj", ours + "down", scale);
    return;
  }
  for (int64_t e = 0; e < experts; ++e) {
    const std::string expert = theirs + "experts." + std::to_string(e) + ".";
    map.add({expert + dialect.gate + ".weight", {hidden, width}, {{ours + "gate", e * each, each}}});
    map.add({expert + dialect.up + ".weight", {hidden, width}, {{ours + "up", e * each, each}}});
    map.add({expert + dialect.down + ".weight", {width, hidden}, {{ours + "down", e * each, each}}, scale});
  }
}

ModelSpec read_sparse(Config& cfg, const Dialect& dialect, const ExpertDialect& experts) {
  ModelSpec spec = read_skeleton(cfg, dialect);
  const Component moe = take_experts(cfg, experts);
  for (LayerSpec& layer : spec.layers) layer.channel = moe;
  if (!experts.dense_layers) return spec;
  const Component dense = take_gated_ffn(cfg);
  const auto every = cfg.take_in<int64_t>("decoder_sparse_step", 1, 1, 4096);
  const auto named = cfg.take<std::vector<int64_t>>("mlp_only_layers", {});
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    if ((layer + 1) % every != 0 || std::find(named.begin(), named.end(), layer) != named.end()) spec.layers[i].channel = dense;
  }
  return spec;
}

Family::Written write_sparse(const ModelSpec& spec, const Dialect& dialect, const ExpertDialect& experts) {
  Family::Written written = write_skeleton(spec, dialect);
  if (!written.obstacle.empty()) return written;
  const Component *moe = nullptr, *dense = nullptr;
  Json dense_layers = Json::array();
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const Component& channel = spec.layers[i].channel;
    const bool is_dense = experts.dense_layers && channel.kind == "ffn";
    const Component*& kind = is_dense ? dense : moe;
    if (!kind) kind = &channel;
    if (!(channel == *kind)) return {{}, "channel mixers of several kinds"};
    if (is_dense) dense_layers.push_back(i);
  }
  if (!moe) return {{}, "no mixture of experts"};
  if (const std::string why = dense ? write_gated_ffn(*dense, false, written.config) : ""; !why.empty()) return {{}, why};
  const Json activation = dense ? written.config["hidden_act"] : Json();
  if (const std::string why = write_experts(*moe, experts, written.config); !why.empty()) return {{}, why};
  if (dense && activation != written.config["hidden_act"]) return {{}, "experts and dense layers with different activations"};
  if (experts.dense_layers) {
    if (!dense) written.config["intermediate_size"] = written.config[experts.hidden_key];
    written.config["decoder_sparse_step"] = 1;
    written.config["mlp_only_layers"] = dense_layers;
  }
  return written;
}

std::vector<StoredTensor> sparse_tensors(const Model& model, const TensorNames& present, const ExpertDialect& experts, const Dialect& dialect) {
  NameMap map(model);
  map.skeleton(model.spec(), dialect);
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    if (model.spec().layers[i].channel.kind == "ffn") name_gated_ffn(map, i);
    else name_experts(map, model, i, experts, present);
  }
  return map.take();
}

}  // namespace gamut
