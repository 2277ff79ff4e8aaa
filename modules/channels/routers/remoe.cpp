#include <cmath>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class ReMoe : public Router {
 public:
  ReMoe(const RouterContext& ctx, double start, double rate)
      : experts_(ctx.experts),
        k_(ctx.k),
        rate_(rate),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        penalty_(ctx.build.add("router_penalty", {1}, Role::buffer, Init::constant(start), false)) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows(), e = experts_;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor());
    const Tensor gates = ops::rowwise(
        tape, "router", logits, e,
        [e](int64_t, const double* h, double* out) {
          for (int64_t i = 0; i < e; ++i) out[i] = h[i] > 0 ? h[i] : 0.0;
        },
        [e](int64_t, const double* h, const double* d, double* dh) {
          for (int64_t i = 0; i < e; ++i) dh[i] = h[i] > 0 ? d[i] : 0.0;
        });
    ops::Routing r{.index_Nk = tape.empty({n, e}, DType::i32), .weight_Nk = gates, .load_E = Tensor(), .scores_NE = Tensor(), .logits_NE = logits};
    if (const Tensor given = given_choices(pass, n, e, e, true))
      r.index_Nk = given;
    else if (tape.runs())
      for (int64_t i = 0; i < n * e; ++i) r.index_Nk.data<int32_t>()[i] = ops::value_at(gates, i) > 0 ? static_cast<int32_t>(i % e) : -1;
    note_choices(pass, r.index_Nk);
    r.load_E = ops::count_experts(tape, r.index_Nk, e);
    if (tape.training()) penalise(pass, r);
    return r;
  }

  // Few experts a token, by a penalty that grows while they are too many.
  void after_step(double) override {
    if (seen_ == 0) return;
    const double sparsity = 1 - static_cast<double>(chosen_) / static_cast<double>(seen_ * experts_),
                 wanted = 1 - static_cast<double>(k_) / static_cast<double>(experts_);
    const double factor = sparsity < wanted ? rate_ : 1 / rate_;
    if (penalty_.dtype() == DType::f64)
      *penalty_.data<double>() *= factor;
    else
      *penalty_.data<float>() *= static_cast<float>(factor);
    seen_ = chosen_ = 0;
  }

 private:
  // λ·Σ_e f_e·mean_t g_te, f_e = E/(k·T)·count_e.
  void penalise(Pass& pass, ops::Routing& r) {
    Tape& tape = pass.tape;
    const int64_t n = r.weight_Nk.rows(), e = experts_;
    std::vector<double> f(static_cast<size_t>(e)), row(static_cast<size_t>(e));
    double value = 0;
    if (tape.runs()) {
      for (int64_t i = 0; i < e; ++i) {
        const int32_t count = r.load_E.data<int32_t>()[i];
        f[static_cast<size_t>(i)] = static_cast<double>(e) * count / static_cast<double>(k_ * n);
        chosen_ += count;
      }
      seen_ += n;
      for (int64_t t = 0; t < n; ++t) {
        ops::read_row(r.weight_Nk, t, row.data());
        for (size_t i = 0; i < row.size(); ++i) value += f[i] * row[i] / static_cast<double>(n);
      }
      r.balance = value;
    }
    const double coefficient = tape.runs() ? ops::value_at(penalty_, 0) * pass.loss_scale : 0.0;
    ops::row_loss(tape, "router", r.weight_Nk, coefficient * value, [f, coefficient, n](int64_t, const double*, double* d) {
      for (size_t i = 0; i < f.size(); ++i) d[i] = coefficient * f[i] / static_cast<double>(n);
    });
  }

  int64_t experts_, k_;
  double rate_;
  Tensor weight_, penalty_;
  int64_t seen_ = 0, chosen_ = 0;
};

}  // namespace

std::unique_ptr<Router> build_remoe(const RouterContext& ctx, Config& cfg) {
  return std::make_unique<ReMoe>(ctx, cfg.take_in<double>("penalty", 1e-8, 0, 1e3), cfg.take_in<double>("penalty_rate", 1.2, 1, 10));
}

}  // namespace gamut
