#include <algorithm>
#include <cmath>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "modules/conversions/conversion.h"

namespace gamut {
namespace {

struct Options {
  int64_t experts, top_k, granularity;
  double shared, router_std;
  std::string scaling, router_init;
  bool normalise, virtual_groups;
  std::string method;
  UpcycleMethod::Change change;
  bool keeps;

  int64_t copies() const { return experts / granularity; }
  // Σ g of the chosen, for gates that are not normalised as they are while the router is undecided.
  double gates() const { return normalise ? 1 : static_cast<double>(top_k) / static_cast<double>(experts); }
  // What the down projections of the parts are multiplied by so that the chosen parts add up to the whole.
  double down_scale() const { return scaling == "none" ? 1 : static_cast<double>(granularity) / gates(); }
  double bias_scale() const { return scaling == "none" ? 1 : 1 / gates(); }
};

// The table `moe` names a router other than topk.
bool another_router(const Json& more) {
  const auto router = more.find("router");
  return router != more.end() && router->is_object() && router->contains("kind") && (*router)["kind"] != "topk";
}

// `another`: a router other than topk, whose gates are taken to sum to 1 unless the options say otherwise.
Options take_options(Config& cfg, bool another) {
  Options o{};
  o.experts = cfg.take_in<int64_t>("experts", 8, 1, 1 << 16);
  o.top_k = cfg.take_in<int64_t>("top_k", std::min<int64_t>(2, o.experts), 1, o.experts);
  o.granularity = cfg.take_in<int64_t>("granularity", 1, 1, o.experts);
  if (o.experts % o.granularity != 0)
    cfg.reject("granularity", "must divide the " + std::to_string(o.experts) + " experts, not be " + std::to_string(o.granularity));
  o.normalise = cfg.take<bool>("normalise", another || o.top_k > 1);
  o.scaling = cfg.take_choice("scaling", "down", {"down", "spread", "none"});
  o.shared = cfg.take_in<double>("shared", 0.0, 0.0, 1.0);
  o.router_init = cfg.take_choice("router_init", "normal", {"normal", "uniform", "zero"});
  o.router_std = cfg.take_in<double>("router_std", 0.02, 0.0, 1e3);
  o.virtual_groups = cfg.take<bool>("virtual_groups", o.granularity > 1);
  o.method = cfg.take<std::string>("method", "copy");
  const UpcycleMethod& method = find_registered(upcycle_methods(), o.method, "method of upcycling");
  o.change = method.build(cfg);
  o.keeps = method.keeps;
  return o;
}

// Which of `count` layers.
std::vector<int64_t> take_layers(Config& cfg, int64_t count) {
  const auto first = cfg.take_in<int64_t>("first", 0, 0, 4096), every = cfg.take_in<int64_t>("every", 1, 1, 4096);
  auto layers = cfg.take<std::vector<int64_t>>("layers", {});
  if (!layers.empty() && (first > 0 || every > 1)) cfg.reject("layers", "and first or every exclude each other");
  for (const int64_t i : layers)
    if (i < 0 || i >= count) cfg.reject("layers", "names layer " + std::to_string(i) + " of " + std::to_string(count));
  if (layers.empty())
    for (int64_t i = first; i < count; ++i)
      if ((i - first + 1) % every == 0) layers.push_back(i);
  return layers;
}

Component mixture(const Component& ffn, const Options& o, const Json& more, Config& cfg) {
  const auto hidden = ffn.options.value("hidden", int64_t{0});
  if (hidden % o.granularity != 0)
    cfg.reject("granularity", "must divide the " + std::to_string(hidden) + " hidden units, not be " + std::to_string(o.granularity));
  Json options = ffn.options;
  options.update({{"experts", o.experts}, {"top_k", o.top_k}, {"hidden", hidden / o.granularity}});
  options["router"] = {{"kind", "topk"}, {"normalise", o.normalise}, {"balance", "pooled"}, {"balance_loss", 0.01}};
  if (o.shared > 0) options["shared_hidden"] = hidden;
  if (another_router(more)) options["router"] = Json::object();  // another's options are its own
  options.merge_patch(more);
  return {"moe", options};
}

// Why the mixture does not compute what the dense layer does; empty: it does.
std::string why_changed(const Options& o, const Component& moe) {
  if (o.shared == 1) return "";  // the routed experts begin at zero
  Config cfg(moe.options, {.source = "model"});
  const MoeOptions m = MoeOptions::take(cfg);
  if (!o.keeps) return "the method " + o.method + " changes what experts compute";
  if (m.router != "topk") return "gates of the router " + m.router + " need not sum to 1";
  Config router_cfg(m.router_options, {.source = "model"});
  const TopKOptions router = TopKOptions::take(router_cfg);
  if (!router.normalise || router.scale != 1 || router.power != 1) return "gates are not made to sum to 1; they do so on average while the router is undecided";
  if (m.routed() > m.experts || m.weigh_input || m.shared_gate || m.residual || (m.drop.limited() && m.drop.always))
    return "experts beside the copies, gated inputs or a capacity change sums";
  if (o.granularity == 1) return "";
  if (!o.virtual_groups || o.top_k % o.granularity != 0)
    return "a token may take one part of the layer twice and another never; all of them while top_k is a multiple of granularity, with virtual_groups";
  const bool homogeneous = m.expert.activation == kernels::Activation::relu || m.expert.activation == kernels::Activation::relu2;
  if (o.scaling == "none") return "parts are not scaled";
  return o.scaling == "spread" && !homogeneous ? "scaling spread over the matrices is exact for relu and relu2 alone" : "";
}

// Multiplies what the expert gives: by `weights` times down's, by `bias` its bias.
void scale(FfnValues& v, const Options& o, kernels::Activation activation, double weights, double bias) {
  double gate = 1, up = 1, down = weights;
  if (o.scaling == "spread") {
    if (!v.up.empty())
      gate = up = down = std::cbrt(weights);
    else if (activation == kernels::Activation::relu2)
      gate = down = std::cbrt(weights);
    else
      gate = down = std::sqrt(weights);
  }
  const auto times = [](std::vector<double>& values, double by) {
    for (double& w : values) w *= by;
  };
  times(v.gate, gate);
  times(v.gate_bias, gate);
  times(v.up, up);
  times(v.up_bias, up);
  times(v.down, down);
  times(v.down_bias, bias);
}

void draw_router(const Parameter& router, const Options& o, uint64_t seed) {
  const RandomStream stream(seed, "upcycle", router.name);
  const int64_t width = router.value.elements() / o.experts;
  with_float_type(router.value.dtype(), [&]<class P>() {
    for (int64_t e = 0; e < o.experts; ++e)
      for (int64_t c = 0; c < width; ++c) {
        const auto at = static_cast<uint64_t>((o.virtual_groups ? e / o.granularity : e) * width + c);
        const double unit = o.router_init == "zero" ? 0 : o.router_init == "normal" ? stream.normal(at) : std::sqrt(12.0) * (stream.uniform(at) - 0.5);
        router.value.data<P>()[e * width + c] = P(static_cast<accumulator<P>>(o.router_std * unit));
      }
  });
}

}  // namespace

Conversion upcycled(const ModelSpec& dense, Config& cfg) {
  Json more = cfg.take_json("moe");
  if (more.is_null()) more = Json::object();
  if (!more.is_object()) cfg.reject("moe", "must be a table, not " + more.dump());
  const Options o = take_options(cfg, another_router(more));
  for (const char* key : {"experts", "top_k", "hidden", "shared_hidden", "shared_bias", "latent"})
    if (more.contains(key)) cfg.reject(std::string("moe.") + key, "is settled by the conversion's own options");
  Conversion out{.spec = dense};
  const auto convert_stack = [&](std::vector<LayerSpec>& layers, const std::vector<int64_t>& which, const std::string& prefix) {
    for (const int64_t i : which) {
      if (i >= static_cast<int64_t>(layers.size()) || layers[static_cast<size_t>(i)].channel.kind != "ffn") continue;
      Component& channel = layers[static_cast<size_t>(i)].channel;
      const Component before = std::exchange(channel, mixture(channel, o, more, cfg));
      if (out.changes.empty()) out.changes = why_changed(o, channel);
      out.layers.push_back({prefix + "layers." + std::to_string(i) + ".channel", before, channel});
    }
  };
  const std::vector<int64_t> which = take_layers(cfg, static_cast<int64_t>(dense.layers.size()));
  convert_stack(out.spec.encoder, which, "encoder.");
  convert_stack(out.spec.layers, which, "");
  if (out.layers.empty())
    throw Error({.who = "upcycle",
                 .what = "none of the chosen layers has a feed-forward layer to copy",
                 .hint = "channel mixers of kind ffn become mixtures; first, every and layers choose among them"});
  out.convert = [o](const Conversion::Layer& layer, const Parameters& from, Parameters& to, uint64_t seed) {
    const FfnValues whole = read_ffn(from, layer.prefix + ".");
    Config options(layer.after.options, {.source = "model"});
    const kernels::Activation activation = MoeOptions::take(options).expert.activation;
    const int64_t hidden = whole.hidden / o.granularity;
    for (int64_t e = 0; e < o.experts; ++e) {
      FfnValues expert = whole.units(e % o.granularity * hidden, hidden);
      o.change(expert, RandomStream(seed, "upcycle", layer.prefix + "#" + std::to_string(e)));
      scale(expert, o, activation, (1 - o.shared) * o.down_scale(), (1 - o.shared) * o.bias_scale());
      write_ffn(to, layer.prefix + ".", e, expert);
    }
    if (o.shared > 0) {
      FfnValues shared = whole;
      shared.scale_down(o.shared);
      write_ffn(to, layer.prefix + ".shared_", -1, shared);
    }
    if (const Parameter* router = to.find(layer.prefix + ".router")) draw_router(*router, o, seed);
  };
  return out;
}

}  // namespace gamut
