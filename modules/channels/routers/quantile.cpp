#include <algorithm>
#include <numeric>

#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class Quantile : public Router {
 public:
  Quantile(const RouterContext& ctx, bool normalise, double keep, RouterLosses losses)
      : experts_(ctx.experts),
        k_(ctx.k),
        normalise_(normalise),
        keep_(keep),
        losses_(std::move(losses), false),
        weight_(ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, ctx.build.matrix())),
        threshold_(ctx.build.add("router_threshold", {ctx.experts}, Role::buffer, Init::constant(0), false)),
        targets_(static_cast<size_t>(ctx.experts)) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t n = x.rows(), e = experts_;
    const Tensor logits = ops::router_logits(tape, x, weight_, Tensor()), chosen = tape.empty({n, k_}, DType::i32);
    if (tape.runs()) {
      std::vector<double> beta(static_cast<size_t>(e)), row(static_cast<size_t>(e)), over(static_cast<size_t>(n * e));
      ops::read_row(threshold_, 0, beta.data());
      std::vector<int32_t> order(static_cast<size_t>(e));
      for (int64_t t = 0; t < n; ++t) {
        ops::read_row(logits, t, row.data());
        const auto shifted = [&](int32_t i) { return row[static_cast<size_t>(i)] - beta[static_cast<size_t>(i)]; };
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return shifted(a) != shifted(b) ? shifted(a) > shifted(b) : a < b; });
        std::copy_n(order.begin(), k_, chosen.data<int32_t>() + t * k_);
        const double alpha = shifted(order[static_cast<size_t>(std::min(k_, e - 1))]);  // the first that is not chosen
        for (int64_t i = 0; i < e; ++i) over[static_cast<size_t>(i * n + t)] = row[static_cast<size_t>(i)] - alpha;
      }
      if (tape.training() && n > 0) gather(over, n);
    }
    ops::Routing r = select_experts(pass, logits, Tensor(), {.norm = normalise_ ? kernels::GateNorm::selected : kernels::GateNorm::none, .k = k_}, chosen);
    losses_.add(pass, r);
    return r;
  }

  // β moves towards the mean target of the step's micro-batches, centred.
  void after_step(double) override {
    losses_.after_step();
    if (calls_ == 0) return;
    std::vector<double> beta(static_cast<size_t>(experts_));
    ops::read_row(threshold_, 0, beta.data());
    double mean = 0;
    for (size_t i = 0; i < beta.size(); ++i) {
      beta[i] = keep_ * beta[i] + (1 - keep_) * targets_[i] / static_cast<double>(calls_);
      mean += beta[i] / static_cast<double>(experts_);
    }
    for (size_t i = 0; i < beta.size(); ++i) {
      if (threshold_.dtype() == DType::f64)
        threshold_.data<double>()[i] = beta[i] - mean;
      else
        threshold_.data<float>()[i] = static_cast<float>(beta[i] - mean);
    }
    std::fill(targets_.begin(), targets_.end(), 0.0);
    calls_ = 0;
  }

 private:
  // With β_e as the (T·k/E + 1)-th largest of h_te − α_t, T·k/E tokens would choose expert e.
  void gather(std::vector<double>& over_ET, int64_t n) {
    const int64_t place = std::min(n - 1, n * k_ / experts_);
    for (int64_t e = 0; e < experts_; ++e) {
      const auto first = over_ET.begin() + e * n;
      std::nth_element(first, first + place, first + n, std::greater<>());
      targets_[static_cast<size_t>(e)] += first[place];
    }
    ++calls_;
  }

  int64_t experts_, k_;
  bool normalise_;
  double keep_;
  LossKeeper losses_;
  Tensor weight_, threshold_;
  std::vector<double> targets_;
  int64_t calls_ = 0;
};

}  // namespace

std::unique_ptr<Router> build_quantile(const RouterContext& ctx, Config& cfg) {
  const bool normalise = cfg.take<bool>("normalise", ctx.k > 1);
  const double keep = cfg.take_in<double>("keep", 0.9, 0, 1);
  return std::make_unique<Quantile>(ctx, normalise, keep, RouterLosses::take(cfg));
}

}  // namespace gamut
