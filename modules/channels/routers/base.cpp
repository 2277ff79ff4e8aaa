#include "modules/channels/routers/assignment.h"
#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class Base : public Router {
 public:
  Base(const RouterContext& ctx, bool auction)
      : experts_(ctx.experts), auction_(auction), weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, Init::orthogonal(0.1))) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows();
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    Tensor chosen;
    if (tape.training()) {
      chosen = tape.empty({n, 1}, DType::i32);
      if (tape.runs()) {
        std::vector<double> scores(static_cast<size_t>(n * experts_));
        for (size_t i = 0; i < scores.size(); ++i) scores[i] = ops::value_at(logits, static_cast<int64_t>(i));
        const std::vector<int32_t> expert = auction_ && n % experts_ == 0 ? assign_by_auction(scores, n, experts_) : assign_exactly(scores, n, experts_);
        std::copy(expert.begin(), expert.end(), chosen.data<int32_t>());
      }
    }
    return select_experts(pass, logits, Tensor(), {.score = kernels::RouterScore::sigmoid, .norm = kernels::GateNorm::none, .k = 1}, chosen);
  }

 private:
  int64_t experts_;
  bool auction_;
  Tensor weight_;
};

}  // namespace

std::unique_ptr<Router> build_base(const RouterContext& ctx, Config& cfg) {
  if (ctx.k != 1) throw Error({.who = "model", .what = "the base router chooses one expert, but top_k is " + std::to_string(ctx.k), .hint = "set top_k = 1"});
  return std::make_unique<Base>(ctx, cfg.take_choice("assignment", "auction", {"auction", "exact"}) == "auction");
}

}  // namespace gamut
