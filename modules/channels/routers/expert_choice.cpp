#include <algorithm>
#include <cmath>
#include <numeric>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class ExpertChoice : public Router {
 public:
  ExpertChoice(const RouterContext& ctx, kernels::RouterScore score, double factor, bool sequence, RouterLosses losses)
      : experts_(ctx.experts),
        score_(score),
        factor_(factor),
        sequence_(sequence),
        losses_(std::move(losses), score != kernels::RouterScore::softmax),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows(), group = sequence_ ? pass.length() : n;
    const int64_t each = std::min(group, static_cast<int64_t>(std::ceil(factor_ * static_cast<double>(group) / static_cast<double>(experts_))));
    ops::Routing r = ops::select(tape, ops::router_logits(tape, x, weight_, Tensor()), Tensor(), {.score = score_, .norm = kernels::GateNorm::none, .k = 1});
    r.index_Nk = tape.empty({n, experts_}, DType::i32);  // slot e of a token is expert e's
    r.weight_Nk = r.scores_NE;
    r.most_rows = n / std::max<int64_t>(group, 1) * each * experts_;
    if (const Tensor given = given_choices(pass, n, experts_, experts_, true)) {
      r.index_Nk = given;
    } else if (tape.runs()) {
      std::fill_n(r.index_Nk.data<int32_t>(), n * experts_, -1);
      tape.pool().parallel_for(n / group * experts_, [&](int64_t task, int) {
        const int64_t first = task / experts_ * group, e = task % experts_;
        std::vector<int64_t> tokens(static_cast<size_t>(group));
        std::iota(tokens.begin(), tokens.end(), first);
        std::partial_sort(tokens.begin(), tokens.begin() + each, tokens.end(), [&](int64_t a, int64_t b) {
          const double pa = ops::value_at(r.scores_NE, a * experts_ + e), pb = ops::value_at(r.scores_NE, b * experts_ + e);
          return pa != pb ? pa > pb : a < b;
        });
        for (int64_t i = 0; i < each; ++i) r.index_Nk.data<int32_t>()[tokens[static_cast<size_t>(i)] * experts_ + e] = static_cast<int32_t>(e);
      });
    }
    note_choices(pass, r.index_Nk);
    r.load_E = ops::count_experts(tape, r.index_Nk, experts_);
    losses_.add(pass, r);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  int64_t experts_;
  kernels::RouterScore score_;
  double factor_;
  bool sequence_;
  LossKeeper losses_;
  Tensor weight_;
};

}  // namespace

std::unique_ptr<Router> build_expert_choice(const RouterContext& ctx, Config& cfg) {
  const double factor = cfg.take_in<double>("factor", static_cast<double>(ctx.k), 1e-6, 1e6);
  const bool sequence = cfg.take_choice("group", "sequence", {"sequence", "batch"}) == "sequence";
  const auto score = take_score(cfg);
  return std::make_unique<ExpertChoice>(ctx, score, factor, sequence, RouterLosses::take(cfg));
}

}  // namespace gamut
