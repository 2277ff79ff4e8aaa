#include <cmath>

#include "modules/channels/routers/router.h"

namespace gamut {
namespace {

class TopK : public Router {
 public:
  TopK(const RouterContext& ctx, TopKOptions options, bool trained)
      : options_(std::move(options)),
        select_(options_.select(ctx.k)),
        losses_(options_.losses, options_.score != kernels::RouterScore::softmax),
        name_(ctx.build.prefix),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix(), trained)) {
    if (options_.linear_bias) linear_bias_ = ctx.build.add("router_linear_bias", {ctx.experts}, Role::bias, Init::constant(0), trained);
    if (options_.choice_bias) bias_ = ctx.build.add("router_bias", {ctx.experts}, Role::buffer, Init::constant(0), false);
    load_.assign(static_cast<size_t>(ctx.experts), 0);
  }

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const bool noisy = options_.jitter > 0 && tape.training();
    const Tensor in =
        noisy ? ops::jitter(tape, x, options_.jitter, RandomStream(pass.seed, "jitter", name_), static_cast<uint64_t>(pass.first_row * x.width())) : x;
    const Tensor logits = ops::router_logits(tape, in, weight_, linear_bias_, options_.rounded);
    ops::Routing routing = select_experts(pass, logits, bias_, select_);
    losses_.add(pass, routing);
    if (options_.orthogonal_loss > 0 && tape.training()) ops::orthogonality_loss(tape, weight_, options_.orthogonal_loss * pass.loss_scale);
    if (options_.balance == "pooled" && options_.balance_loss > 0 && tape.training()) {
      // That loss looks at a softmax and what it would choose, whatever scores and biases say.
      const bool plain = !bias_ && options_.score == kernels::RouterScore::softmax && options_.groups == 1;
      const ops::Routing seen = plain ? routing : ops::select(tape, logits, Tensor(), {.k = select_.k});
      pass.pooled.push_back({seen.scores_NE, seen.index_Nk});
      pass.pooled_coefficient = options_.balance_loss;
    }
    if (bias_ && tape.training() && tape.runs())
      for (size_t e = 0; e < load_.size(); ++e) load_[e] += routing.load_E.data<int32_t>()[e];
    return routing;
  }

  // Counts are summed over the micro-batches of a step; the bias moves once.
  void after_step(double progress) override {
    losses_.after_step();
    if (!bias_) return;
    if (options_.balance == "bias" && progress <= options_.bias_until) move_bias();
    load_.assign(load_.size(), 0);
  }

 private:
  void move_bias() {
    double mean = 0;
    for (const int64_t n : load_) mean += static_cast<double>(n) / static_cast<double>(load_.size());
    std::vector<double> change;
    double sum = 0;
    for (const int64_t n : load_) {
      const double gap = mean - static_cast<double>(n);
      change.push_back(gap == 0 ? 0.0 : options_.bias_rule == "sign" ? std::copysign(options_.bias_rate, gap) : options_.bias_rate * gap / std::max(mean, 1.0));
      sum += change.back();
    }
    with_float_type(bias_.dtype(), [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>)
        for (size_t e = 0; e < load_.size(); ++e) {
          if (options_.bias_centre) change[e] -= sum / static_cast<double>(load_.size());
          if (change[e] != 0) bias_.data<P>()[e] += static_cast<P>(change[e]);
        }
    });
  }

  TopKOptions options_;
  ops::SelectOptions select_;
  LossKeeper losses_;
  std::string name_;
  Tensor weight_, linear_bias_, bias_;
  std::vector<int64_t> load_;
};

std::unique_ptr<Router> build(const RouterContext& ctx, Config& cfg, bool trained) {
  TopKOptions options = TopKOptions::take(cfg);
  // Published models may be so (a family then says it); a recipe hardly means it.
  if (options.normalise && !cfg.has("normalise") && ctx.k == 1 && ctx.experts > 1 && trained)
    cfg.reject("normalise", "must be false with top_k = 1: a normalised single gate is constantly 1 and the router would learn from its balancing loss alone",
               "or use kind = \"switch\"");
  if (ctx.experts % options.groups != 0)
    cfg.reject("groups", "must divide the " + std::to_string(ctx.experts) + " experts, not be " + std::to_string(options.groups));
  if (options.kept_groups > options.groups || (options.groups > 1 && ctx.k > options.kept_groups * (ctx.experts / options.groups)))
    cfg.reject("kept_groups", "is " + std::to_string(options.kept_groups) + ": of " + std::to_string(options.groups) + " groups that leaves no " +
                                  std::to_string(ctx.k) + " experts to choose");
  if (options.group_best == 0 && ctx.k % options.kept_groups != 0)
    cfg.reject("group_score", "= \"sum_share\" needs a top_k that kept_groups divides, but " + std::to_string(options.kept_groups) + " does not divide " +
                                  std::to_string(ctx.k));
  if (!trained) {
    options.losses = RouterLosses();
    options.balance_loss = options.orthogonal_loss = 0;
  }
  return std::make_unique<TopK>(ctx, options, trained);
}

}  // namespace

kernels::RouterScore take_score(Config& cfg) {
  const std::string score = cfg.take_choice("score", "softmax", {"softmax", "sigmoid", "sqrt_softplus"});
  return score == "softmax" ? kernels::RouterScore::softmax : score == "sigmoid" ? kernels::RouterScore::sigmoid : kernels::RouterScore::sqrt_softplus;
}

TopKOptions TopKOptions::take(Config& cfg) {
  TopKOptions o{};
  o.score = take_score(cfg);
  o.normalise = cfg.take<bool>("normalise", true);
  o.power = cfg.take_in<double>("normalise_power", 1.0, 1e-3, 1e3);
  o.epsilon = cfg.take_in<double>("normalise_epsilon", 1e-20, 0, 1);
  o.floor = cfg.take_in<double>("normalise_floor", 0.0, 0, 1);
  o.scale = cfg.take<double>("scale", 1.0);
  o.groups = cfg.take_in<int64_t>("groups", 1, 1, 1 << 16);
  o.kept_groups = cfg.take_in<int64_t>("kept_groups", 1, 1, 1 << 16);
  const std::string group_score = cfg.take_choice("group_score", "max", {"max", "sum2", "sum_share"});
  o.group_best = group_score == "max" ? 1 : group_score == "sum2" ? 2 : 0;
  o.zero_outside = cfg.take_choice("group_mask", "exclude", {"exclude", "zero"}) == "zero";
  o.linear_bias = cfg.take<bool>("linear_bias", false);
  o.rounded = cfg.take_choice("precision", "f32", {"f32", "bf16"}) == "bf16";
  o.jitter = cfg.take_in<double>("jitter", 0.0, 0, 1);
  o.balance = cfg.take_choice("balance", "loss", {"none", "loss", "pooled", "bias"});
  o.balance_loss = cfg.take_in<double>("balance_loss", o.balance == "loss" || o.balance == "pooled" ? 0.01 : 0.0, 0, 100);
  o.losses = RouterLosses::take(cfg, {.balance = o.balance == "pooled" ? 0.0 : o.balance_loss});
  o.choice_bias = cfg.take<bool>("choice_bias", o.balance == "bias");
  if (!o.choice_bias && o.balance == "bias") cfg.reject("choice_bias", "must be there for balance = \"bias\" to move it");
  o.orthogonal_loss = cfg.take_in<double>("orthogonal_loss", 0.0, 0, 100);
  o.bias_rate = cfg.take_in<double>("bias_rate", 0.001, 0, 1);
  o.bias_until = cfg.take_in<double>("bias_until", 1.0, 0, 1);
  o.bias_rule = cfg.take_choice("bias_rule", "sign", {"sign", "proportional"});
  o.bias_centre = cfg.take<bool>("bias_centre", false);
  return o;
}

ops::SelectOptions TopKOptions::select(int64_t k) const {
  return {.score = score,
          .norm = normalise ? kernels::GateNorm::selected : kernels::GateNorm::none,
          .scale = scale,
          .power = power,
          .epsilon = epsilon,
          .floor = floor,
          .k = k,
          .groups = groups,
          .kept_groups = kept_groups,
          .group_best = group_best > 0 ? group_best : k / kept_groups,
          .zero_outside = zero_outside};
}

std::unique_ptr<Router> build_topk(const RouterContext& ctx, Config& cfg) { return build(ctx, cfg, true); }
std::unique_ptr<Router> build_random(const RouterContext& ctx, Config& cfg) { return build(ctx, cfg, false); }

std::unique_ptr<Router> build_dense(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != ctx.experts)
    throw Error({.who = "model",
                 .what = "the dense router takes all experts, but top_k is " + std::to_string(ctx.k) + " of " + std::to_string(ctx.experts),
                 .hint = "set top_k to the number of experts, or kind = \"topk\""});
  return build(ctx, cfg, true);
}

std::unique_ptr<Router> build_switch(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != 1)
    throw Error(
        {.who = "model", .what = "the switch router chooses one expert, but top_k is " + std::to_string(ctx.k), .hint = "set top_k = 1 or kind = \"topk\""});
  Config fixed(Json{{"normalise", false},
                    {"balance", "loss"},
                    {"balance_loss", cfg.take_in<double>("balance_loss", 0.01, 0, 100)},
                    {"z_loss", cfg.take_in<double>("z_loss", 0.0, 0, 100)},
                    {"jitter", cfg.take_in<double>("jitter", 0.0, 0, 1)},
                    {"linear_bias", cfg.take<bool>("linear_bias", false)}});
  return std::make_unique<TopK>(ctx, TopKOptions::take(fixed), true);
}

}  // namespace gamut
