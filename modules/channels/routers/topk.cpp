#include <cmath>

#include "modules/channels/routers/router.h"

namespace gamut {
namespace {

class TopK : public Router {
 public:
  TopK(const RouterContext& ctx, ops::RouteOptions options, double pooled_loss, double bias_rate, bool trained)
      : options_(options), pooled_loss_(pooled_loss), bias_rate_(bias_rate),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix(), trained)) {
    if (bias_rate > 0) bias_ = ctx.build.add("router_bias", {ctx.experts}, Role::buffer, Init::constant(0), false);
    load_.assign(static_cast<size_t>(ctx.experts), 0);
  }

  ops::Routing route(Pass& pass, const Tensor& x) override {
    ops::RouteOptions options = options_;
    options.loss_scale = pass.loss_scale;
    options.scores_wanted = pooled_loss_ > 0;
    ops::Routing routing = ops::route(pass.tape, x, weight_, bias_, options);
    if (pooled_loss_ > 0 && pass.tape.training()) {
      pass.pooled.push_back({routing.scores_NE, routing.index_Nk});
      pass.pooled_coefficient = pooled_loss_;
    }
    if (bias_ && pass.tape.training() && pass.tape.runs())
      for (size_t e = 0; e < load_.size(); ++e) load_[e] += routing.load_E.data<int32_t>()[e];
    return routing;
  }

  // Counts are summed over the micro-batches of a step; the bias moves once.
  void after_step() override {
    if (!bias_) return;
    double mean = 0;
    for (const int64_t n : load_) mean += static_cast<double>(n) / static_cast<double>(load_.size());
    with_float_type(bias_.dtype(), [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>)
        for (size_t e = 0; e < load_.size(); ++e) {
          const double gap = mean - static_cast<double>(load_[e]);
          if (gap != 0) bias_.data<P>()[e] += static_cast<P>(std::copysign(bias_rate_, gap));
        }
    });
    load_.assign(load_.size(), 0);
  }

 private:
  ops::RouteOptions options_;
  double pooled_loss_, bias_rate_;
  Tensor weight_, bias_;
  std::vector<int64_t> load_;
};

std::unique_ptr<Router> build(const RouterContext& ctx, Config& cfg, bool trained) {
  const TopKOptions options = TopKOptions::take(cfg);
  // Published models may be so (a family then says it); a recipe hardly means it.
  if (options.normalise && !cfg.has("normalise") && ctx.k == 1 && ctx.experts > 1 && trained)
    cfg.reject("normalise", "must be false with top_k = 1: a normalised single gate is constantly 1 and the router would learn from its balancing loss alone", "or use kind = \"switch\"");
  const bool pooled = options.balance == "pooled";
  if (pooled && options.score != kernels::RouterScore::softmax) cfg.reject("balance", "cannot be pooled with sigmoid scores", "use balance = \"loss\"");
  ops::RouteOptions o{.score = options.score, .norm = options.normalise ? kernels::GateNorm::selected : kernels::GateNorm::none, .scale = options.scale, .k = ctx.k};
  if (trained) {
    o.balance_loss = pooled ? 0 : options.balance_loss;
    o.z_loss = options.z_loss;
  }
  return std::make_unique<TopK>(ctx, o, pooled && trained ? options.balance_loss : 0.0, options.balance == "bias" ? options.bias_rate : 0.0, trained);
}

}  // namespace

TopKOptions TopKOptions::take(Config& cfg) {
  TopKOptions o{};
  o.score = cfg.take_choice("score", "softmax", {"softmax", "sigmoid"}) == "softmax" ? kernels::RouterScore::softmax : kernels::RouterScore::sigmoid;
  o.normalise = cfg.take<bool>("normalise", true);
  o.scale = cfg.take<double>("scale", 1.0);
  o.balance = cfg.take_choice("balance", "loss", {"none", "loss", "pooled", "bias"});
  o.balance_loss = cfg.take_in<double>("balance_loss", o.balance == "loss" || o.balance == "pooled" ? 0.01 : 0.0, 0, 100);
  o.z_loss = cfg.take_in<double>("z_loss", 0.0, 0, 100);
  o.bias_rate = cfg.take_in<double>("bias_rate", 0.001, 0, 1);
  return o;
}

std::unique_ptr<Router> build_topk(const RouterContext& ctx, Config& cfg) { return build(ctx, cfg, true); }
std::unique_ptr<Router> build_random(const RouterContext& ctx, Config& cfg) { return build(ctx, cfg, false); }

std::unique_ptr<Router> build_switch(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != 1) throw Error({.who = "model", .what = "the switch router chooses one expert, but top_k is " + std::to_string(ctx.k), .hint = "set top_k = 1 or kind = \"topk\""});
  ops::RouteOptions o;
  o.k = 1;
  o.norm = kernels::GateNorm::none;
  o.balance_loss = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
  o.z_loss = cfg.take_in<double>("z_loss", 0.0, 0, 100);
  return std::make_unique<TopK>(ctx, o, 0.0, 0.0, true);
}

}  // namespace gamut
