#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "modules/channels/routers/noisy_topk.h"
#include "modules/channels/routers/router.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double below(double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; }                                  // Φ
double density(double z) { return std::exp(-z * z / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2; }  // φ

}  // namespace

double RouterNoise::sigma(const double* in, int64_t e) const { return constant > 0 ? constant : softplus(in[experts + e]) + 0.01; }

void RouterNoise::give_sigma(const double* in, int64_t e, double d, double* d_in) const {
  if (constant <= 0) d_in[experts + e] += d * sigmoid(in[experts + e]);
}

Tensor noisy_logits(Tape& tape, const Tensor& in, const RouterNoise& noise) {
  return ops::rowwise(
      tape, "router", in, noise.experts,
      [noise](int64_t row, const double* v, double* out) {
        for (int64_t e = 0; e < noise.experts; ++e) out[e] = v[e] + noise.z(row, e) * noise.sigma(v, e);
      },
      [noise](int64_t row, const double* v, const double* d, double* d_in) {
        for (int64_t e = 0; e < noise.experts; ++e) {
          d_in[e] += d[e];
          noise.give_sigma(v, e, d[e] * noise.z(row, e), d_in);
        }
      });
}

double load_loss(Tape& tape, const Tensor& in, const RouterNoise& noise, int64_t k, double coefficient, bool sample) {
  const int64_t n = in.rows(), e = noise.experts;
  struct Row {
    std::vector<int64_t> order;  // the k+1 largest noisy logits first
    std::vector<double> noisy;
  };
  const auto ranked = [noise, k, e](int64_t row, const double* x) {
    Row r{std::vector<int64_t>(static_cast<size_t>(e)), std::vector<double>(static_cast<size_t>(e))};
    for (int64_t i = 0; i < e; ++i) r.noisy[static_cast<size_t>(i)] = x[i] + noise.z(row, i) * noise.sigma(x, i);
    std::iota(r.order.begin(), r.order.end(), 0);
    std::partial_sort(r.order.begin(), r.order.begin() + k + 1, r.order.end(), [&](int64_t a, int64_t b) {
      const double ha = r.noisy[static_cast<size_t>(a)], hb = r.noisy[static_cast<size_t>(b)];
      return ha != hb ? ha > hb : a < b;
    });
    return r;
  };
  const auto threshold = [k](const Row& r, int64_t i) {
    const bool in_top = std::find(r.order.begin(), r.order.begin() + k, i) != r.order.begin() + k;
    return r.order[static_cast<size_t>(in_top ? k : k - 1)];
  };
  std::vector<double> load(static_cast<size_t>(e)), x(static_cast<size_t>(in.width()));
  for (int64_t t = 0; tape.runs() && t < n; ++t) {
    ops::read_row(in, t, x.data());
    const Row r = ranked(t, x.data());
    for (int64_t i = 0; i < e; ++i)
      load[static_cast<size_t>(i)] += below((x[static_cast<size_t>(i)] - r.noisy[static_cast<size_t>(threshold(r, i))]) / noise.sigma(x.data(), i));
  }
  const ops::SquaredVariation cv = ops::squared_variation(load, sample);
  ops::row_loss(tape, "router", in, coefficient * cv.value, [=, slope = cv.slope](int64_t row, const double* v, double* d) {
    const Row r = ranked(row, v);
    for (int64_t i = 0; i < e; ++i) {
      const int64_t holder = threshold(r, i);
      const double sigma = noise.sigma(v, i), z = (v[i] - r.noisy[static_cast<size_t>(holder)]) / sigma,
                   g = coefficient * slope[static_cast<size_t>(i)] * density(z) / sigma;
      d[i] += g;
      noise.give_sigma(v, i, -z * g, d);
      d[holder] -= g;
      noise.give_sigma(v, holder, -noise.z(row, holder) * g, d);
    }
  });
  return cv.value;
}

namespace {

class NoisyTopK : public Router {
 public:
  NoisyTopK(const RouterContext& ctx, double constant, bool normalise, double load, double clean_importance, bool zero_start, RouterLosses losses)
      : experts_(ctx.experts),
        k_(ctx.k),
        constant_(constant),
        normalise_(normalise),
        load_(load),
        clean_importance_(clean_importance),
        sample_(losses.sample_variance),
        losses_(std::move(losses), false),
        name_(ctx.build.prefix) {
    const Init start = zero_start ? Init::constant(0) : ctx.build.matrix();
    weight_ = ctx.build.add("router", {ctx.experts, ctx.build.spec.width}, Role::router, start);
    if (constant_ <= 0) noise_ = ctx.build.add("router_noise", {ctx.experts, ctx.build.spec.width}, Role::router, start);
  }

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor clean = ops::router_logits(tape, x, weight_, Tensor());
    const ops::SelectOptions select{.norm = normalise_ ? kernels::GateNorm::selected : kernels::GateNorm::none, .k = k_};
    if (!tape.training()) {
      ops::Routing r = select_experts(pass, clean, Tensor(), select);
      losses_.add(pass, r);
      return r;
    }
    const int64_t n = x.rows();
    auto normal = std::make_shared<std::vector<double>>(static_cast<size_t>(tape.runs() ? n * experts_ : 0));
    const RandomStream stream(pass.seed, "router noise", name_);
    for (size_t i = 0; i < normal->size(); ++i) (*normal)[i] = stream.normal(static_cast<uint64_t>(pass.first_row * experts_) + i);
    const RouterNoise noise{experts_, constant_, std::move(normal)};
    const Tensor both = constant_ > 0 ? clean : ops::beside(tape, clean, ops::router_logits(tape, x, noise_, Tensor()));
    const Tensor noisy = noisy_logits(tape, both, noise);
    ops::Routing r = select_experts(pass, noisy, Tensor(), select);
    losses_.add(pass, r);
    if (clean_importance_ > 0) {
      const ops::SelectOptions all{.norm = kernels::GateNorm::none, .k = experts_};
      ops::importance_loss(tape, ops::select(tape, clean, Tensor(), all), clean_importance_ * pass.loss_scale, sample_);
    }
    if (load_ > 0) load_loss(tape, both, noise, k_, load_ * pass.loss_scale, sample_);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  int64_t experts_, k_;
  double constant_;
  bool normalise_;
  double load_, clean_importance_;  // importance of the clean scores instead of the gates
  bool sample_;
  LossKeeper losses_;
  std::string name_;
  Tensor weight_, noise_;
};

}  // namespace

std::unique_ptr<Router> build_noisy_topk(const RouterContext& ctx, Config& cfg) {
  const bool constant = cfg.take_choice("noise", "learned", {"learned", "constant"}) == "constant";
  const double deviation = cfg.take_in<double>("noise_std", 1.0, 0, 1e3);
  const bool normalise = cfg.take<bool>("normalise", !constant), zero = cfg.take_choice("start", constant ? "normal" : "zero", {"zero", "normal"}) == "zero";
  const double load = cfg.take_in<double>("load_loss", ctx.k < ctx.experts ? 0.01 : 0.0, 0, 100);
  if (load > 0 && ctx.k >= ctx.experts) cfg.reject("load_loss", "needs an expert that is not chosen, but top_k is all " + std::to_string(ctx.experts));
  if (constant && deviation <= 0) cfg.reject("noise_std", "must be positive");
  RouterLosses losses = RouterLosses::take(cfg, {.importance = 0.01});
  const bool clean = cfg.take_choice("importance_of", constant ? "scores" : "gates", {"gates", "scores"}) == "scores";
  const double clean_importance = clean ? std::exchange(losses.importance, 0.0) : 0.0;
  return std::make_unique<NoisyTopK>(ctx, constant ? deviation / static_cast<double>(ctx.experts) : 0.0, normalise, load, clean_importance, zero,
                                     std::move(losses));
}

}  // namespace gamut
