#include <algorithm>
#include <numeric>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "modules/conversions/conversion.h"

namespace gamut {
namespace {

MoeOptions options_of(const Component& moe) {
  Config cfg(moe.options, {.source = "model"});
  return MoeOptions::take(cfg);
}

[[noreturn]] void refuse(const std::string& layer, const std::string& why) { throw Error({.who = "downcycle", .what = layer + " " + why}); }

// What a dense layer in place of the mixture is made of: the options that experts and dense layers share.
Component dense(const Component& moe, const MoeOptions& o, int64_t hidden) {
  Json options = {{"hidden", hidden}};
  for (const char* key : {"activation", "gated", "limit", "up_shift"})
    if (moe.options.contains(key)) options[key] = moe.options[key];
  if (o.expert.bias || (o.shared_hidden > 0 && o.shared_bias)) options["bias"] = true;
  return {"ffn", options};
}

Component fewer(const std::string& layer, const Component& moe, const MoeOptions& o, int64_t experts) {
  if (o.top_k > experts)
    refuse(layer, "takes top_k = " + std::to_string(o.top_k) + " experts, more than the " + std::to_string(experts) + " that are to be kept");
  const RegisteredRouter& router = find_registered(routers(), o.router, "router");
  if (!router.traits.interchangeable) refuse(layer, "has the router " + o.router + ", whose experts have places: none can be left out");
  for (const char* key : {"groups", "devices"})
    if (o.router_options.value(key, int64_t{1}) > 1) refuse(layer, "has experts in " + std::string(key) + ": none can be left out");
  Component c = moe;
  c.options["experts"] = experts;
  return c;
}

// Keeps these experts' slices of every parameter that has one for each expert.
void keep(const std::string& prefix, const std::vector<int64_t>& kept, const Parameters& from, Parameters& to) {
  for (const Parameter& p : from.all()) {
    if (!p.name.starts_with(prefix + ".")) continue;
    const Parameter* q = to.find(p.name);
    const size_t each = p.value.bytes() / static_cast<size_t>(p.value.shape()[0]);
    if (q->value.shape() == p.value.shape())
      std::copy_n(p.value.raw(), p.value.bytes(), q->value.raw());
    else
      for (size_t i = 0; i < kept.size(); ++i) std::copy_n(p.value.raw() + static_cast<size_t>(kept[i]) * each, each, q->value.raw() + i * each);
  }
}

}  // namespace

Conversion downcycled(const ModelSpec& sparse, Config& cfg, std::vector<RoutingRecord> use) {
  if (!sparse.encoder.empty()) throw Error({.who = "downcycle", .what = "the model has an encoder; mixtures of decoders alone can be reduced"});
  const std::string name = cfg.take<std::string>("method", "merge");
  const DowncycleMethod& method = find_registered(downcycle_methods(), name, "method of downcycling");
  Conversion out{.spec = sparse, .changes = "the method " + name + " changes what the model computes, but for experts that are alike or unused"};
  std::map<std::string, std::pair<Reduction, RoutingRecord>> plans;
  for (size_t i = 0; i < sparse.layers.size(); ++i) {
    const Component& moe = sparse.layers[i].channel;
    if (moe.kind != "moe") continue;
    const std::string prefix = "layers." + std::to_string(i) + ".channel";
    const MoeOptions o = options_of(moe);
    if (o.routed() > o.experts) refuse(prefix, "has experts without weights");
    if (o.latent > 0) refuse(prefix, "has experts in a latent space");
    if (o.weigh_input) refuse(prefix, "multiplies its experts' inputs by their gates");
    const Reduction reduction = method.build(cfg, o.experts, o.expert.hidden);
    const auto record = std::find_if(use.begin(), use.end(), [&](const RoutingRecord& r) { return r.layer == static_cast<int>(i); });
    if (record == use.end() || record->tokens == 0) refuse(prefix, "was not measured");
    out.spec.layers[i].channel = reduction.kept ? fewer(prefix, moe, o, reduction.experts) : dense(moe, o, reduction.hidden + o.shared_hidden);
    out.layers.push_back({prefix, moe, out.spec.layers[i].channel});
    plans[prefix] = {reduction, *record};
  }
  if (out.layers.empty()) throw Error({.who = "downcycle", .what = "the model has no mixture of experts"});
  out.convert = [plans = std::move(plans)](const Conversion::Layer& layer, const Parameters& from, Parameters& to, uint64_t) {
    const auto& [reduction, record] = plans.at(layer.prefix);
    const MoeOptions o = options_of(layer.before);
    if (reduction.kept) {
      keep(layer.prefix, reduction.kept(record), from, to);
      return;
    }
    std::vector<FfnValues> parts{reduction.dense([&](int64_t e) { return read_ffn(from, layer.prefix + ".", e); }, record)};
    if (o.shared_hidden > 0) {
      parts.push_back(read_ffn(from, layer.prefix + ".shared_", o.shared_gate || o.residual ? 0 : -1));
      parts.back().scale_down(record.shared / static_cast<double>(record.tokens));
    }
    write_ffn(to, layer.prefix + ".", -1, side_by_side(parts));
  };
  return out;
}

}  // namespace gamut
