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

namespace {

// The k+1 largest noisy logits of a row first.
struct Ranked {
  Ranked(const RouterNoise& noise, int64_t k, int64_t row, const double* in) : top(k), order(static_cast<size_t>(noise.experts)) {
    for (int64_t e = 0; e < noise.experts; ++e) noisy.push_back(in[e] + noise.z(row, e) * noise.sigma(in, e));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k + 1, order.end(), [&](int64_t a, int64_t b) {
      const double ha = noisy[static_cast<size_t>(a)], hb = noisy[static_cast<size_t>(b)];
      return ha != hb ? ha > hb : a < b;
    });
  }
  // Who holds the logit that expert e has to pass.
  int64_t threshold(int64_t e) const {
    const bool in_top = std::find(order.begin(), order.begin() + top, e) != order.begin() + top;
    return order[static_cast<size_t>(in_top ? top : top - 1)];
  }
  double passed_by(const double* in, int64_t e) const { return in[e] - noisy[static_cast<size_t>(threshold(e))]; }
  int64_t top;
  std::vector<int64_t> order;
  std::vector<double> noisy;
};

}  // namespace

void add_load(const RouterNoise& noise, int64_t k, int64_t row, const double* in, double* load) {
  if (k == noise.experts) return (void)std::for_each(load, load + k, [](double& v) { ++v; });
  const Ranked r(noise, k, row, in);
  for (int64_t e = 0; e < noise.experts; ++e) load[e] += below(r.passed_by(in, e) / noise.sigma(in, e));
}

void give_load(const RouterNoise& noise, int64_t k, int64_t row, const double* in, const double* d_load, double* d) {
  if (k == noise.experts) return;
  const Ranked r(noise, k, row, in);
  for (int64_t e = 0; e < noise.experts; ++e) {
    const int64_t holder = r.threshold(e);
    const double sigma = noise.sigma(in, e), z = r.passed_by(in, e) / sigma, g = d_load[e] * density(z) / sigma;
    d[e] += g;
    noise.give_sigma(in, e, -z * g, d);
    d[holder] -= g;
    noise.give_sigma(in, holder, -noise.z(row, holder) * g, d);
  }
}

double load_loss(Tape& tape, const Tensor& in, const RouterNoise& noise, int64_t k, double coefficient, bool sample) {
  std::vector<double> load(static_cast<size_t>(noise.experts)), x(static_cast<size_t>(in.width()));
  for (int64_t t = 0; tape.runs() && t < in.rows(); ++t) {
    ops::read_row(in, t, x.data());
    add_load(noise, k, t, x.data(), load.data());
  }
  ops::SquaredVariation cv = ops::squared_variation(load, sample);
  for (double& d : cv.slope) d *= coefficient;
  ops::row_loss(tape, "router", in, coefficient * cv.value,
                [=, slope = cv.slope](int64_t row, const double* v, double* d) { give_load(noise, k, row, v, slope.data(), d); });
  return cv.value;
}

NoiseOptions NoiseOptions::take(Config& cfg, bool optional) {
  std::vector<std::string> kinds{"learned", "constant"};
  if (optional) kinds.push_back("none");
  const std::string kind = cfg.take_choice("noise", "learned", kinds);
  const double deviation = cfg.take_in<double>("noise_std", 1.0, 0, 1e3);
  if (kind == "constant" && deviation <= 0) cfg.reject("noise_std", "must be positive");
  const bool zero = cfg.take_choice("start", kind == "learned" ? "zero" : "normal", {"zero", "normal"}) == "zero";
  return {kind == "learned", kind == "constant" ? deviation : 0.0, zero};
}

NoisyLogits::NoisyLogits(const BuildContext& ctx, const std::string& name, int64_t groups, int64_t experts, const NoiseOptions& options)
    : groups_(groups), experts_(experts), options_(options), purpose_(name + " noise"), prefix_(ctx.prefix) {
  const Init start = options.zero_start ? Init::constant(0) : ctx.matrix();
  weight_ = ctx.add(name, {groups * experts, ctx.spec.width}, Role::router, start);
  if (options.learned) noise_ = ctx.add(name + "_noise", {groups * experts, ctx.spec.width}, Role::router, start);
}

NoisyLogits::Made NoisyLogits::operator()(Pass& pass, const Tensor& x) const {
  Tape& tape = pass.tape;
  const Shape rows{x.rows() * groups_, experts_};
  const Tensor clean = ops::router_logits(tape, x, weight_, Tensor()).reshape(rows);
  if (!tape.training() || (!options_.learned && options_.deviation <= 0)) return {clean, clean, Tensor()};
  auto normal = std::make_shared<std::vector<double>>(static_cast<size_t>(tape.runs() ? clean.elements() : 0));
  const RandomStream stream(pass.seed, purpose_, prefix_);
  for (size_t i = 0; i < normal->size(); ++i) (*normal)[i] = stream.normal(static_cast<uint64_t>(pass.first_row * groups_ * experts_) + i);
  const RouterNoise noise{experts_, options_.deviation / static_cast<double>(experts_), std::move(normal)};
  const Tensor both = options_.learned ? ops::beside(tape, clean, ops::router_logits(tape, x, noise_, Tensor()).reshape(rows)) : clean;
  return {clean, noisy_logits(tape, both, noise), both, noise};
}

namespace {

class NoisyTopK : public Router {
 public:
  NoisyTopK(const RouterContext& ctx, const NoiseOptions& noise, bool normalise, double load, double clean_importance, RouterLosses losses)
      : experts_(ctx.experts),
        k_(ctx.k),
        normalise_(normalise),
        load_(load),
        clean_importance_(clean_importance),
        sample_(losses.sample_variance),
        losses_(std::move(losses), false),
        logits_(ctx.build, "router", 1, ctx.experts, noise) {}

  ops::Routing route(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const NoisyLogits::Made logits = logits_(pass, x);
    const ops::SelectOptions select{.norm = normalise_ ? kernels::GateNorm::selected : kernels::GateNorm::none, .k = k_};
    ops::Routing r = select_experts(pass, logits.noisy, Tensor(), select);
    losses_.add(pass, r);
    if (!tape.training()) return r;
    if (clean_importance_ > 0) {
      const ops::SelectOptions all{.norm = kernels::GateNorm::none, .k = experts_};
      ops::importance_loss(tape, ops::select(tape, logits.clean, Tensor(), all), clean_importance_ * pass.loss_scale, sample_);
    }
    if (load_ > 0) load_loss(tape, logits.both, logits.noise, k_, load_ * pass.loss_scale, sample_);
    return r;
  }

  void after_step(double) override { losses_.after_step(); }

 private:
  int64_t experts_, k_;
  bool normalise_;
  double load_, clean_importance_;  // importance of the clean scores instead of the gates
  bool sample_;
  LossKeeper losses_;
  NoisyLogits logits_;
};

}  // namespace

std::unique_ptr<Router> build_noisy_topk(const RouterContext& ctx, Config& cfg) {
  const NoiseOptions noise = NoiseOptions::take(cfg);
  const bool normalise = cfg.take<bool>("normalise", noise.learned);
  const double load = cfg.take_in<double>("load_loss", ctx.k < ctx.experts ? 0.01 : 0.0, 0, 100);
  if (load > 0 && ctx.k >= ctx.experts) cfg.reject("load_loss", "needs an expert that is not chosen, but top_k is all " + std::to_string(ctx.experts));
  RouterLosses losses = RouterLosses::take(cfg, {.importance = 0.01});
  const bool clean = cfg.take_choice("importance_of", noise.learned ? "gates" : "scores", {"gates", "scores"}) == "scores";
  const double clean_importance = clean ? std::exchange(losses.importance, 0.0) : 0.0;
  return std::make_unique<NoisyTopK>(ctx, noise, normalise, load, clean_importance, std::move(losses));
}

}  // namespace gamut
