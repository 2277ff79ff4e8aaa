#include "families/experts.h"

#include "families/decoder.h"
#include "modules/channels/routers/router.h"

namespace gamut {

Component component_of(const Experts& e) {
  Component moe{"moe", {{"experts", e.count}, {"top_k", e.top_k}, {"hidden", e.hidden}, {"activation", e.activation}}};
  const Experts usual;
  const auto differs = [](Json& out, const char* key, const auto& value, const auto& fallback) {
    if (value != fallback) out[key] = value;
  };
  Json& options = moe.options;
  differs(options, "gated", e.gated, usual.gated);
  differs(options, "bias", e.bias, usual.bias);
  differs(options, "shared_bias", e.shared_bias, e.bias);
  differs(options, "output_bias", e.output_bias, usual.output_bias);
  differs(options, "limit", e.limit, usual.limit);
  differs(options, "up_shift", e.up_shift, usual.up_shift);
  differs(options, "identity_experts", e.identity, usual.identity);
  differs(options, "shared_hidden", e.shared_hidden, usual.shared_hidden);
  differs(options, "shared_gate", e.shared_gate, usual.shared_gate);
  if (e.weigh_input) options["weigh"] = "input";
  // transformers adds its loss only where it is asked to.
  Json router = {{"kind", e.router}, {"balance", e.pooled > 0 ? "pooled" : "none"}};
  if (e.pooled > 0) router["balance_loss"] = e.pooled;
  if (e.router == "topk") {
    router["normalise"] = e.normalise;
    if (e.selection_bias && e.pooled > 0) router["choice_bias"] = true;
    else if (e.selection_bias) router["balance"] = "bias";
    differs(router, "score", e.score, usual.score);
    differs(router, "linear_bias", e.linear_bias, usual.linear_bias);
    differs(router, "scale", e.scale, usual.scale);
    differs(router, "normalise_power", e.power, usual.power);
    differs(router, "normalise_epsilon", e.epsilon, usual.epsilon);
    differs(router, "normalise_floor", e.floor, usual.floor);
    differs(router, "groups", e.groups, usual.groups);
    differs(router, "kept_groups", e.kept_groups, usual.kept_groups);
    differs(router, "group_score", e.group_score, usual.group_score);
  } else {
    if (e.pooled == 0) router.update({{"balance", "loss"}, {"balance_loss", 0.0}});
    differs(router, "epsilon", e.nearness, usual.nearness);
  }
  options["router"] = router;
  return moe;
}

ExpertsOr experts_of(const Component& channel) {
  const auto cannot = [](const std::string& what) { return ExpertsOr{{}, what}; };
  if (channel.kind != "moe") return cannot("the channel mixer " + channel.kind);
  const auto moe = options_of<MoeOptions>(channel);
  if (moe.drop.limited()) return cannot("a capacity that drops tokens");
  if (moe.zero_experts > 0 || moe.constant_experts > 0) return cannot("experts that give nothing, or a vector of their own");
  if (moe.latent > 0) return cannot("experts in a space of their own");
  if (moe.residual) return cannot("shares of routed and shared experts");
  Experts e{.count = moe.experts, .top_k = moe.top_k, .hidden = moe.expert.hidden, .shared_hidden = moe.shared_hidden, .identity = moe.identity_experts, .activation = channel.options.value("activation", "silu"),
            .gated = moe.expert.gated, .bias = moe.expert.bias, .shared_bias = moe.shared_bias, .shared_gate = moe.shared_gate, .weigh_input = moe.weigh_input, .output_bias = moe.output_bias, .limit = moe.expert.limit, .up_shift = moe.expert.up_shift};
  if (moe.router == "sparsemixer") {
    e.router = moe.router;
    e.nearness = moe.router_options.value("epsilon", e.nearness);
    if (moe.router_options.value("balance", "loss") == "pooled") e.pooled = moe.router_options.value("balance_loss", 0.01);
    return {e, ""};
  }
  if (moe.router != "topk" && moe.router != "random") return cannot("the router " + moe.router);
  const auto router = options_of<TopKOptions>({moe.router, moe.router_options});
  if (router.rounded) return cannot("a router in bf16");
  if (router.score == kernels::RouterScore::sqrt_softplus) return cannot("scores by the root of a softplus");
  if (router.zero_outside) return cannot("groups of experts that are left out by a score of 0");
  if (router.score == kernels::RouterScore::sigmoid) e.score = "sigmoid";
  const int64_t best = router.groups > 1 ? router.select(e.top_k).group_best : 1;
  e.group_score = best == 1 ? "max" : best == 2 ? "sum2" : "sum_share";
  if (router.balance == "pooled") e.pooled = router.balance_loss;
  e.normalise = router.normalise;
  e.linear_bias = router.linear_bias;
  e.selection_bias = router.choice_bias;
  e.scale = router.scale;
  e.power = router.power;
  e.epsilon = router.epsilon;
  e.floor = router.floor;
  e.groups = router.groups;
  e.kept_groups = router.kept_groups;
  return {e, ""};
}

void expert_keys(Keys& k, Experts& e, const ExpertDialect& x) {
  const char* count = x.count_key;
  for (const auto& [one, other] : {std::pair("num_experts", "num_local_experts"), std::pair("num_local_experts", "num_experts")})
    if (x.count_key == std::string_view(one)) {
      count = k.either(one, other);
      if (count == x.count_key) k.ignore({other}, "the same by another name");
    }
  k.integer(count, e.count, x.experts, 1, 1 << 16);
  k.integer(x.top_k_key, e.top_k, x.top_k, 1, 1 << 16);
  if (k.reading() && e.top_k > e.count) k.config().reject(x.top_k_key, "is " + std::to_string(e.top_k) + ", more than the " + std::to_string(e.count) + " experts");
  k.integer(x.hidden_key, e.hidden, x.hidden, 1, int64_t{1} << 24);
  if (x.activation_key) k.activation(x.activation_key, e.activation, x.activation);
  if (x.normalise_key) k.flag(x.normalise_key, e.normalise, x.normalise);
  if (x.scale_key) k.number(x.scale_key, e.scale, x.scale);
  if (x.shared_hidden_key) k.integer(x.shared_hidden_key, e.shared_hidden, x.shared_hidden, 0, int64_t{1} << 24);
  if (x.balance_key) {
    // transformers counts a token's k choices as k, ours as one.
    double coefficient = e.pooled / static_cast<double>(e.top_k);
    bool wanted = e.pooled > 0;
    k.number(x.balance_key, coefficient, x.balance_loss, 0, 100);
    k.flag("output_router_logits", wanted, false);
    if (k.reading()) e.pooled = wanted ? coefficient * static_cast<double>(e.top_k) : 0;
  }
  if (x.limit_key) k.number(x.limit_key, e.limit, x.limit, 0, 1e6);
  if (!k.reading()) return;
  e.up_shift = x.up_shift;
  e.gated = x.gated;
  if (!x.activation_key) e.activation = x.activation;
  if (!x.normalise_key) e.normalise = x.normalise;
  e.router = x.router_kind;
  e.score = x.score;
  e.linear_bias = x.linear_bias;
  e.selection_bias = x.selection_bias;
  e.weigh_input = x.weigh_input;
  e.output_bias = x.output_bias;
  e.bias = e.shared_bias = x.bias;
  e.shared_gate = x.shared_gate && e.shared_hidden > 0;
}

Component take_experts(Config& cfg, const ExpertDialect& dialect) {
  Keys keys(cfg);
  Experts experts;
  expert_keys(keys, experts, dialect);
  return component_of(experts);
}

std::string write_experts(const Component& channel, const ExpertDialect& dialect, Json& config) {
  auto [found, obstacle] = experts_of(channel);
  if (!found) return obstacle;
  if (!dialect.scale_key) found->scale = 1;
  Json written = Json::object();
  try {
    Keys writing(written);
    expert_keys(writing, *found, dialect);
    Config cfg(written, {.source = "config.json"});
    Keys reading(cfg);
    Experts again;
    expert_keys(reading, again, dialect);
    if (!(again == *found)) return difference(component_of(*found).options, component_of(again).options, "experts");
  } catch (const Error& e) {
    return e.what();
  }
  config.update(written);
  return "";
}

namespace {

// Gate, up and down of one layer whose parameters are below `ours`.
void name_routed(NameMap& map, const std::string& theirs, const std::string& ours, const ExpertDialect& x, double scale, const TensorNames& present) {
  const Shape& gate = map.shape(ours + "gate");  // [E, I, D]
  const int64_t experts = gate[0], hidden = gate[1], width = gate[2], each = hidden * width;
  if (x.layout == ExpertDialect::Layout::flat) {
    map.reshaped(theirs + x.gate, ours + "gate", {experts * hidden, width});
    map.reshaped(theirs + x.up, ours + "up", {experts * hidden, width});
    map.add({.name = theirs + x.down, .shape = {experts * hidden, width}, .parts = {{ours + "down", 0, experts * each}}, .factor = scale, .transposed = true, .matrices = experts});
    return;
  }
  if (x.layout == ExpertDialect::Layout::columns) {
    StoredTensor both{.name = theirs + x.fused_in, .shape = {experts, width, 2 * hidden}, .parts = {}, .transposed = true, .matrices = experts};
    for (int64_t e = 0; e < experts; ++e)
      for (const char* name : {"gate", "up"}) both.parts.push_back({ours + name, e * each, each});
    map.add(std::move(both));
    map.add({.name = theirs + x.fused_out, .shape = {experts, hidden, width}, .parts = {{ours + "down", 0, experts * each}}, .factor = scale, .transposed = true, .matrices = experts});
    return;
  }
  if (x.layout == ExpertDialect::Layout::columns_by_turns) {
    const auto turned = [&](const std::string& name) { return !present.contains(name + "_blocks"); };
    const auto shape = [&](const std::string& name, int64_t rows, int64_t columns) { return turned(name) ? std::vector<int64_t>{experts, columns, rows} : std::vector<int64_t>{experts, rows, columns}; };
    const std::string in = theirs + x.fused_in, out = theirs + x.fused_out;
    map.add({.name = in, .shape = shape(in, 2 * hidden, width), .parts = {{ours + "gate", 0, experts * each}, {ours + "up", 0, experts * each}}, .transposed = turned(in), .matrices = experts,
             .alternating = width});
    map.add({.name = in + "_bias", .shape = {experts, 2 * hidden}, .parts = {{ours + "gate_bias", 0, experts * hidden}, {ours + "up_bias", 0, experts * hidden}}, .alternating = 1});
    map.add({.name = out, .shape = shape(out, width, hidden), .parts = {{ours + "down", 0, experts * each}}, .factor = scale, .transposed = turned(out), .matrices = experts});
    map.whole(out + "_bias", ours + "down_bias", scale);
    return;
  }
  if (x.layout == ExpertDialect::Layout::fused || present.contains(theirs + x.fused_in)) {
    StoredTensor both{theirs + x.fused_in, {experts, 2 * hidden, width}, {}};
    for (int64_t e = 0; e < experts; ++e)
      for (const char* name : {"gate", "up"}) both.parts.push_back({ours + name, e * each, each});
    map.add(std::move(both));
    map.whole(theirs + x.fused_out, ours + "down", scale);
    return;
  }
  for (int64_t e = 0; e < experts; ++e) {
    const std::string expert = theirs + "experts." + std::to_string(e) + ".";
    map.add({expert + (x.gated ? x.gate : x.up) + ".weight", {hidden, width}, {{ours + "gate", e * each, each}}});
    if (x.gated) map.add({expert + x.up + ".weight", {hidden, width}, {{ours + "up", e * each, each}}});
    map.add({expert + x.down + ".weight", {width, hidden}, {{ours + "down", e * each, each}}, scale});
  }
}

void name_shared(NameMap& map, const std::string& theirs, const std::string& module, const std::string& ours, const ExpertDialect& x) {
  const auto plain = [&](const std::string& name, const std::string& parameter) {  // ours may be a mixture of one expert
    const Shape& s = map.shape(ours + parameter);
    map.reshaped(theirs + name + ".weight", ours + parameter, {s[s.rank() - 2], s[s.rank() - 1]});
    if (map.has(ours + parameter + "_bias")) map.reshaped(theirs + name + ".bias", ours + parameter + "_bias", {s[s.rank() - 2]});
  };
  if (x.shared_in) {
    const Shape& s = map.shape(ours + "shared_gate");
    map.stacked(theirs + x.shared_in + ".weight", {ours + "shared_gate", ours + "shared_up"}, {2 * s[s.rank() - 2], s[s.rank() - 1]});
  } else {
    plain(x.gated ? "gate_proj" : "up_proj", "shared_gate");
    if (x.gated) plain("up_proj", "shared_up");
  }
  plain(x.shared_out, "shared_down");
  if (map.has(ours + "shared_router")) map.whole(module + x.shared_router + ".weight", ours + "shared_router");
}

}  // namespace

void name_experts(NameMap& map, const Component& experts, const std::string& ours, const std::string& prefix, const ExpertDialect& x, const TensorNames& present) {
  const std::string theirs = prefix + (present.contains(prefix + "mlp." + x.router + ".weight") ? "mlp" : x.module) + ".";
  // Some families know no scale of gates.
  const auto moe = options_of<MoeOptions>(experts);
  const double scale = x.scale_key || moe.router == "sparsemixer" ? 1 : options_of<TopKOptions>({moe.router, moe.router_options}).scale;
  map.whole(theirs + x.router + ".weight", ours + "router");
  if (map.has(ours + "router_linear_bias")) map.whole(theirs + x.router + ".bias", ours + "router_linear_bias");
  if (map.has(ours + "router_bias")) {
    const int64_t routed = map.shape(ours + "router_bias")[0];
    map.reshaped(theirs + x.router_selection, ours + "router_bias", x.selection_row ? std::vector<int64_t>{1, routed} : std::vector<int64_t>{routed});
  }
  if (map.has(ours + "output_bias")) map.whole(theirs + "bias", ours + "output_bias");
  if (map.has(ours + "shared_down")) name_shared(map, (x.shared_beside ? prefix : theirs) + x.shared + ".", theirs, ours, x);
  name_routed(map, theirs, ours, x, scale, present);
}

}  // namespace gamut
