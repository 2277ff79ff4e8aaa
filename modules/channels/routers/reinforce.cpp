#include <algorithm>
#include <cmath>
#include <numeric>

#include "modules/channels/routers/router.h"
#include "ops/constant.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class Reinforce : public Router {
 public:
  Reinforce(const RouterContext& ctx, double policy, double value, RouterLosses losses)
      : experts_(ctx.experts),
        k_(ctx.k),
        policy_(policy),
        value_(value),
        losses_(std::move(losses), false),
        name_(ctx.build.prefix),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        baseline_(ctx.build.add("router_baseline", {1, ctx.build.spec.width}, Role::router, Init::constant(0))) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows();
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    const Tensor chosen = tape.training() ? sample(pass, logits) : Tensor();
    ops::Routing r = select_experts(pass, logits, Tensor(), {.k = k_}, chosen);
    losses_.add(pass, r);
    r.weight_Nk = ops::constant(tape, {n, k_}, logits.dtype(), 1.0 / static_cast<double>(k_));  // the task's gradient does not reach the router
    if (tape.training()) learn(pass, ops::beside(tape, logits, ops::router_logits(tape, x, baseline_, Tensor())), r.index_Nk);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  // k experts without replacement: the k largest of logits with Gumbel noise, in the order drawn.
  Tensor sample(const Pass& pass, const Tensor& logits) const {
    const int64_t n = logits.rows();
    const Tensor index = pass.tape.empty({n, k_}, DType::i32);
    if (!pass.tape.runs()) return index;
    const RandomStream stream(pass.seed, "router sample", name_);
    std::vector<double> h(static_cast<size_t>(experts_));
    std::vector<int32_t> order(static_cast<size_t>(experts_));
    for (int64_t t = 0; t < n; ++t) {
      ops::read_row(logits, t, h.data());
      for (int64_t e = 0; e < experts_; ++e)
        h[static_cast<size_t>(e)] -= std::log(-std::log(std::max(stream.uniform(static_cast<uint64_t>((pass.first_row + t) * experts_ + e)), 1e-300)));
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k_, order.end(),
                        [&](int32_t a, int32_t b) { return h[static_cast<size_t>(a)] > h[static_cast<size_t>(b)]; });
      std::copy_n(order.begin(), k_, index.data<int32_t>() + t * k_);
    }
    return index;
  }

  // When the pass is undone each token's loss is known: reward R = −loss, advantage R − b(x).
  void learn(Pass& pass, const Tensor& both, const Tensor& index) const {
    const auto losses = pass.token_loss_N;
    if (!losses || !both.needs_grad()) return;
    const int64_t n = both.rows(), e = experts_, k = k_;
    const double policy = policy_ * pass.loss_scale / static_cast<double>(n), value = value_ * pass.loss_scale / static_cast<double>(n);
    pass.tape.record("router", [=](Tape& t) {
      if (t.runs() && losses->elements() != n)
        throw Error({.who = "model", .what = "the reinforce router needs the loss of every token", .hint = "use it with the causal objective"});
      ops::add_rows(t, both, [&](int64_t row, const double* in, double* d) {
        const double advantage = -ops::value_at(*losses, row) - in[e];
        std::vector<char> left(static_cast<size_t>(e), 1);
        const double top = *std::max_element(in, in + e);
        for (int64_t j = 0; j < k; ++j) {  // −(R − b)·∇ Σ_j ln softmax over those not drawn before
          const int32_t choice = index.data<int32_t>()[row * k + j];
          double sum = 0;
          for (int64_t i = 0; i < e; ++i) sum += left[static_cast<size_t>(i)] ? std::exp(in[i] - top) : 0.0;
          for (int64_t i = 0; i < e; ++i)
            if (left[static_cast<size_t>(i)]) d[i] -= policy * advantage * ((i == choice ? 1.0 : 0.0) - std::exp(in[i] - top) / sum);
          left[static_cast<size_t>(choice)] = 0;
        }
        d[e] -= value * advantage;  // of (R − b)²/2
      });
    });
  }

  int64_t experts_, k_;
  double policy_, value_;
  LossKeeper losses_;
  std::string name_;
  Tensor weight_, baseline_;
};

}  // namespace

std::unique_ptr<Router> build_reinforce(const RouterContext& ctx, Config& cfg) {
  const double policy = cfg.take_in<double>("policy", 0.01, 0, 1e3), value = cfg.take_in<double>("value", 0.01, 0, 1e3),
               balance = cfg.take_in<double>("balance_loss", 0.01, 0, 100);
  return std::make_unique<Reinforce>(ctx, policy, value, RouterLosses::take(cfg, {.balance = balance}));
}

}  // namespace gamut
