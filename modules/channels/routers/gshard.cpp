#include <cmath>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class GShard : public Router {
 public:
  GShard(const RouterContext& ctx, std::string second, ops::SelectOptions select, RouterLosses losses)
      : second_(std::move(second)),
        select_(select),
        losses_(std::move(losses), false),
        name_(ctx.build.prefix),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    const bool draws = tape.training() && tape.runs();
    const RandomStream stream(pass.seed, "second choice", name_);
    ops::Routing r = select_experts(pass, logits, Tensor(), select_, second_ == "sampling" && tape.training() ? sampled(pass, logits, stream) : Tensor());
    losses_.add(pass, r);
    if (!draws || (second_ != "random" && second_ != "random_mesh")) return r;
    const Tensor kept = tape.empty(r.index_Nk.shape(), DType::i32);
    for (int64_t t = 0; t < kept.rows(); ++t) {
      const double u = stream.uniform(static_cast<uint64_t>(pass.first_row + t)), gate = ops::value_at(r.weight_Nk, 2 * t + 1);
      kept.data<int32_t>()[2 * t] = r.index_Nk.data<int32_t>()[2 * t];
      kept.data<int32_t>()[2 * t + 1] = keeps_second(second_, gate, u) ? r.index_Nk.data<int32_t>()[2 * t + 1] : -1;
    }
    r.index_Nk = kept;
    r.load_E = ops::count_experts(tape, kept, logits.width());
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  // The best expert, and the best other one after Gumbel noise.
  static Tensor sampled(const Pass& pass, const Tensor& logits, const RandomStream& stream) {
    const int64_t n = logits.rows(), e = logits.width();
    const Tensor index = pass.tape.empty({n, 2}, DType::i32);
    if (!pass.tape.runs()) return index;
    for (int64_t t = 0; t < n; ++t) {
      int64_t first = 0, second = -1;
      for (int64_t i = 1; i < e; ++i)
        if (ops::value_at(logits, t * e + i) > ops::value_at(logits, t * e + first)) first = i;
      double best = 0;
      for (int64_t i = 0; i < e; ++i) {
        if (i == first) continue;
        const double u = stream.uniform(static_cast<uint64_t>((pass.first_row + t) * e + i)),
                     noisy = ops::value_at(logits, t * e + i) - std::log(-std::log(std::max(u, 1e-300)));
        if (second < 0 || noisy > best) {
          best = noisy;
          second = i;
        }
      }
      index.data<int32_t>()[2 * t] = static_cast<int32_t>(first);
      index.data<int32_t>()[2 * t + 1] = static_cast<int32_t>(second);
    }
    return index;
  }

  std::string second_;
  ops::SelectOptions select_;
  LossKeeper losses_;
  std::string name_;
  Tensor weight_;
};

}  // namespace

bool keeps_second(const std::string& rule, double gate, double u) { return rule == "random" ? 2 * gate > u : rule != "random_mesh" || u < gate / 0.2; }

std::unique_ptr<Router> build_gshard(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != 2)
    throw Error(
        {.who = "model", .what = "the gshard router chooses two experts, but top_k is " + std::to_string(ctx.k), .hint = "set top_k = 2 or kind = \"topk\""});
  const std::string second = cfg.take_choice("second", "random", {"all", "random", "random_mesh", "sampling"});
  const bool normalise = cfg.take<bool>("normalise", true);
  const ops::SelectOptions select{
      .norm = normalise ? kernels::GateNorm::selected : kernels::GateNorm::none, .scale = cfg.take<double>("scale", 1.0), .epsilon = 1e-9, .k = 2};
  const double balance = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
  return std::make_unique<GShard>(ctx, second, select, RouterLosses::take(cfg, {.balance = balance, .count = "first"}));
}

}  // namespace gamut
