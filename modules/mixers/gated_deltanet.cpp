// DeltaNet and Gated DeltaNet: short convolutions, keys and queries of length 1, and a state that is corrected by the delta rule and may decay.
//
// q, k, v = SiLU(conv(W x));  g = −e^(A_log)·softplus(W_a x + dt_bias), in DeltaNet 0;  β = scale·σ(W_b x)
// S ← e^g·S;  S ← S + kᵀ·β(v − k·S);  o = q·S/√K;  y = W_o(RMSNorm(o)∘SiLU(W_z x)), the gate as wanted
// [Schlag et al., Linear transformers are secretly fast weight programmers, 2021; Yang et al., Parallelizing linear transformers with the delta rule,
// 2024; Yang, Kautz, Hatamizadeh, Gated Delta Networks, 2024; β up to 2: Grazzi et al., Negative eigenvalues, 2024]
#include <cmath>
#include <limits>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/activate.h"
#include "ops/constant.h"
#include "ops/conv.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/linear_attention.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class GatedDeltaNet : public SequenceMixer {
 public:
  GatedDeltaNet(const BuildContext& ctx, const GatedDeltaNetOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width, widths[3] = {o.key_heads * o.key_dim, o.key_heads * o.key_dim, o.value_heads * o.value_dim};
    const auto matrix = [&](const char* name, int64_t out) { return ops::LinearWeight{ctx.add(name, {out, d}, Role::matrix, ctx.matrix()), Tensor()}; };
    const char *names[3] = {"query", "key", "value"}, *convs[3] = {"query_conv", "key_conv", "value_conv"};
    for (int i = 0; i < 3; ++i) projections_.push_back(matrix(names[i], widths[i]));
    if (o.gate) projections_.push_back(matrix("gate", widths[2]));
    gates_ = {matrix("beta", o.value_heads)};
    if (o.decay) gates_.push_back(matrix("decay", o.value_heads));
    for (int i = 0; i < 3 && o.conv > 0; ++i)
      convs_.push_back({ctx.add(convs[i], {widths[i], o.conv}, Role::bias, Init::normal(1 / std::sqrt(static_cast<double>(o.conv)))), Tensor(), o.activation});
    if (o.decay) {
      decay_rate_ = ctx.add("decay_rate", {o.value_heads}, Role::bias, Init::log_of_uniform(1, 16));
      decay_bias_ = ctx.add("decay_bias", {o.value_heads}, Role::bias, Init::inverse_softplus(1e-3, 0.1));
    }
    norm_ = {.eps = o.norm_eps, .gain_D = ctx.add("norm", {o.value_dim}, Role::norm, Init::constant(1))};
    output_ = {ctx.add("output", {d, widths[2]}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    const ConvolvedState state(pass, convs_.size());
    std::vector<Tensor> p = ops::linear(tape, x, projections_);
    for (size_t i = 0; i < 3; ++i) p[i] = o_.conv > 0 ? ops::conv(tape, p[i], convs_[i], state.histories[i]) : ops::activate(tape, p[i], o_.activation);
    const std::vector<Tensor> gates = ops::linear(tape, x, gates_, parameter_dtype(dtype_));
    // x/√(Σx² + ε) is RMSNorm with ε/K, divided by √K; the query's factor goes into the scale.
    const double k = static_cast<double>(o_.key_dim);
    if (!unit_.gain_D) unit_ = {.eps = 1e-6 / k, .gain_D = ops::constant(tape, {o_.key_dim}, parameter_dtype(dtype_), 1 / std::sqrt(k))};
    ops::LinearAttention a{.q = ops::norm(tape, p[0].reshape({b, t, o_.key_heads, o_.key_dim}), {.eps = 1e-6 / k}),
                           .k = ops::norm(tape, p[1].reshape({b, t, o_.key_heads, o_.key_dim}), unit_),
                           .v = p[2].reshape({b, t, o_.value_heads, o_.value_dim}), .scale = 1 / k, .delta = true};
    a.beta = ops::map(tape, Formula::sigmoid, {gates[0]});
    if (o_.beta_scale != 1) a.beta = ops::map(tape, Formula::scale, {a.beta}, {}, o_.beta_scale);
    if (o_.decay) {
      const Tensor step = ops::map(tape, Formula::softplus_plus, {gates[1]}, {decay_bias_}, 0, std::numeric_limits<float>::max());
      a.decay = ops::map(tape, Formula::minus_exp_times, {step}, {decay_rate_});
    }
    const Tensor o = ops::norm(tape, ops::linear_attention(tape, a, state.memory), norm_).reshape(p[2].shape());
    return ops::linear(tape, o_.gate ? ops::gate(tape, kernels::Activation::silu, p[3], o) : o, output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    return ConvolvedState::start(tape, batch, convs_, dtype_, {batch, o_.value_heads, o_.key_dim, o_.value_dim});
  }

 private:
  GatedDeltaNetOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> projections_, gates_;
  std::vector<ops::ConvWeight> convs_;
  Tensor decay_rate_, decay_bias_;
  ops::NormWeight norm_, unit_;
  ops::LinearWeight output_;
};

}  // namespace

GatedDeltaNetOptions GatedDeltaNetOptions::take(Config& cfg, const ModelSpec& spec, bool decay) {
  GatedDeltaNetOptions o{};
  o.key_heads = cfg.take_in<int64_t>("key_heads", std::max<int64_t>(2, spec.width / 128), 1, 65536);
  o.value_heads = cfg.take_in<int64_t>("value_heads", o.key_heads, 1, 65536);
  if (o.value_heads % o.key_heads != 0) cfg.reject("value_heads", "must be a multiple of key_heads (" + std::to_string(o.key_heads) + "), not " + std::to_string(o.value_heads));
  o.key_dim = cfg.take_in<int64_t>("key_dim", std::max<int64_t>(1, spec.width / o.key_heads), 1, 65536);
  o.value_dim = cfg.take_in<int64_t>("value_dim", o.key_dim, 1, 65536);
  o.conv = cfg.take_in<int64_t>("conv", 4, 0, kernels::kMaxConvWidth);
  o.decay = decay;
  o.gate = cfg.take<bool>("gate", decay);
  o.beta_scale = cfg.take_in<double>("beta_scale", 1.0, 0, 2);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.activation = activation_option(cfg, "activation", "silu");
  return o;
}

std::unique_ptr<SequenceMixer> build_gated_deltanet(const BuildContext& ctx, Config& cfg, bool decay) {
  return std::make_unique<GatedDeltaNet>(ctx, GatedDeltaNetOptions::take(cfg, ctx.spec, decay));
}

}  // namespace gamut
