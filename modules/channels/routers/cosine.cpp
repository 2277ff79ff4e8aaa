#include <algorithm>
#include <cmath>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

constexpr double kHottest = 4.605170185988092;  // ln 100

class Cosine : public Router {
 public:
  Cosine(const RouterContext& ctx, int64_t width, bool normalise, RouterLosses losses)
      : k_(ctx.k),
        normalise_(normalise),
        losses_(std::move(losses), false),
        project_(ctx.build.add("router_projection", {width, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        project_bias_(ctx.build.add("router_projection_bias", {width}, Role::bias, Init::constant(0))),
        weight_(ctx.build.add("router", {ctx.experts, width}, Role::router, Init::normal(0.01))),
        temperature_(ctx.build.add("router_temperature", {1}, Role::bias, Init::constant(std::log(2.0)))) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor low = ops::router_logits(tape, x, project_, project_bias_);
    const Tensor cosines = ops::router_logits(tape, ops::unit_rows(tape, low), ops::unit_rows(tape, weight_), Tensor());
    const Tensor logits = ops::times_scalar(tape, cosines, temperature_, [](double tau) {
      const double heat = std::exp(std::min(tau, kHottest));
      return ops::ValueAndSlope{heat, tau < kHottest ? heat : 0.0};
    });
    ops::Routing r = select_experts(pass, logits, Tensor(), {.norm = normalise_ ? kernels::GateNorm::selected : kernels::GateNorm::none, .k = k_});
    losses_.add(pass, r);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  int64_t k_;
  bool normalise_;
  LossKeeper losses_;
  Tensor project_, project_bias_, weight_, temperature_;
};

}  // namespace

std::unique_ptr<Router> build_cosine(const RouterContext& ctx, Config& cfg) {
  const auto width = cfg.take_in<int64_t>("projection", 256, 1, 1 << 20);
  const bool normalise = cfg.take<bool>("normalise", ctx.k > 1);
  const double balance = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
  return std::make_unique<Cosine>(ctx, width, normalise, RouterLosses::take(cfg, {.balance = balance}));
}

}  // namespace gamut
