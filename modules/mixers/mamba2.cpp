// Mamba-2: a selective state space whose decay is one number per head, so that a chunk is a product of matrices (SSD).
//
// z, x, B, C, dt = W x;  x, B, C = SiLU(conv(·));  Δ = clamp(softplus(dt + dt_bias));  g = −e^(A_log)·Δ
// h ← e^g·h + Δ·Bᵀx;  y = C·h + D·x;  out = W_o·RMSNorm_groups(y∘SiLU(z))   [Dao & Gu, Transformers are SSMs, 2024]
#include <cmath>
#include <limits>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/linear_attention.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class Mamba2 : public SequenceMixer {
 public:
  Mamba2(const BuildContext& ctx, const Mamba2Options& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width, inner = o.heads * o.head_dim, state = o.groups * o.state, widths[3] = {inner, state, state};
    const auto projection = [&](const std::string& name, int64_t out, int64_t in, Init init) {
      ops::LinearWeight w{ctx.add(name, {out, in}, Role::matrix, init), Tensor()};
      if (o.bias) w.bias_N = ctx.add(name + "_bias", {out}, Role::bias, Init::constant(0));
      return w;
    };
    const std::string names[3] = {"value", "key", "query"};  // x, B and C
    projections_.push_back(projection("gate", inner, d, ctx.matrix()));
    for (int i = 0; i < 3; ++i) projections_.push_back(projection(names[i], widths[i], d, ctx.matrix()));
    step_ = {ctx.add("step", {o.heads, d}, Role::matrix, ctx.matrix()), o.bias ? ctx.add("step_projection_bias", {o.heads}, Role::bias, Init::constant(0)) : Tensor()};
    for (int i = 0; i < 3; ++i)
      convs_.push_back({ctx.add(names[i] + "_conv", {widths[i], o.conv}, Role::bias, Init::normal(1 / std::sqrt(static_cast<double>(o.conv)))),
                        o.conv_bias ? ctx.add(names[i] + "_conv_bias", {widths[i]}, Role::bias, Init::constant(0)) : Tensor(), o.activation});
    step_bias_ = ctx.add("step_bias", {o.heads}, Role::bias, Init::inverse_softplus(1e-3, 0.1));
    decay_rate_ = ctx.add("decay_rate", {o.heads}, Role::bias, Init::log_of_uniform(1, 16));
    skip_ = ctx.add("skip", {o.heads}, Role::bias, Init::constant(1));
    if (o.norm) gain_ = ctx.add("norm", {inner}, Role::norm, Init::constant(1));
    output_ = projection("output", d, inner, ctx.into_residual());
  }

  Tensor forward(Pass& pass, const Tensor& input) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    const ConvolvedState state(pass, convs_.size());
    std::vector<Tensor> p = ops::linear(tape, input, projections_);
    for (size_t i = 0; i < 3; ++i) p[i + 1] = ops::conv(tape, p[i + 1], convs_[i], state.histories[i]);
    const Tensor step = ops::map(tape, Formula::softplus_plus, {ops::linear(tape, input, step_, parameter_dtype(dtype_))}, {step_bias_}, o_.step_min, o_.step_max);
    const ops::LinearAttention a{.q = p[3].reshape({b, t, o_.groups, o_.state}), .k = p[2].reshape({b, t, o_.groups, o_.state}), .v = p[1].reshape({b, t, o_.heads, o_.head_dim}),
                                 .decay = ops::map(tape, Formula::minus_exp_times, {step}, {decay_rate_}), .beta = step, .skip_H = skip_};
    Tensor y = ops::gate(tape, kernels::Activation::silu, p[0], ops::linear_attention(tape, a, state.memory).reshape(p[0].shape()));
    if (o_.norm) {
      const int64_t inner = y.width();
      y = ops::norm(tape, y.reshape({b, t, o_.norm_groups, inner / o_.norm_groups}), {.eps = o_.norm_eps}).reshape({b, t, inner});
      y = ops::map(tape, Formula::times_vector, {y}, {gain_});
    }
    return ops::linear(tape, y, output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    return ConvolvedState::start(tape, batch, convs_, dtype_, {batch, o_.heads, o_.state, o_.head_dim});
  }

 private:
  Mamba2Options o_;
  DType dtype_;
  std::vector<ops::LinearWeight> projections_;  // z, x, B, C
  ops::LinearWeight step_, output_;
  std::vector<ops::ConvWeight> convs_;          // of x, B, C
  Tensor step_bias_, decay_rate_, skip_, gain_;
};

}  // namespace

Mamba2Options Mamba2Options::take(Config& cfg, const ModelSpec& spec) {
  Mamba2Options o{};
  o.head_dim = cfg.take_in<int64_t>("head_dim", 64, 1, 65536);
  o.heads = cfg.take_in<int64_t>("heads", std::max<int64_t>(1, 2 * spec.width / o.head_dim), 1, 65536);
  o.groups = cfg.take_in<int64_t>("groups", 1, 1, 65536);
  if (o.heads % o.groups != 0) cfg.reject("groups", "must divide heads (" + std::to_string(o.heads) + "), not " + std::to_string(o.groups));
  o.state = cfg.take_in<int64_t>("state", 64, 1, 65536);
  o.conv = cfg.take_in<int64_t>("conv", 4, 1, kernels::kMaxConvWidth);
  o.conv_bias = cfg.take<bool>("conv_bias", true);
  o.bias = cfg.take<bool>("bias", false);
  o.norm = cfg.take<bool>("norm", true);
  o.norm_groups = cfg.take_in<int64_t>("norm_groups", o.groups, 1, 65536);
  if (o.heads * o.head_dim % o.norm_groups != 0) cfg.reject("norm_groups", "must divide heads·head_dim (" + std::to_string(o.heads * o.head_dim) + "), not " + std::to_string(o.norm_groups));
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.step_min = cfg.take_in<double>("step_min", 0.0, 0, 1e30);
  o.step_max = cfg.take_in<double>("step_max", static_cast<double>(std::numeric_limits<float>::max()), o.step_min, 1e39);
  o.activation = activation_option(cfg, "activation", "silu");
  return o;
}

std::unique_ptr<SequenceMixer> build_mamba2(const BuildContext& ctx, Config& cfg) { return std::make_unique<Mamba2>(ctx, Mamba2Options::take(cfg, ctx.spec)); }

}  // namespace gamut
