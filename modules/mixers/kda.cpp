// Kimi delta attention: Gated DeltaNet whose decay differs from channel to channel of a key.
//
// q, k, v = SiLU(conv(W x));  g = −e^A·softplus(W_f2·W_f1 x + dt_bias), A one number per head;  β = scale·σ(W_b x)
// S ← diag(e^g)·S;  S ← S + kᵀ·β(v − k·S);  o = q·S/√K;  y = W_o(RMSNorm(o)∘σ(W_g2·W_g1 x))   q and k of length 1
// As products: S ← diag(e^g)·S + (β·k)ᵀ((−e^g∘k)·S + v), a decay with a correction of rank one (ops/dplr.h). [Kimi Team, Kimi Linear, 2025]
#include <cmath>
#include <limits>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/constant.h"
#include "ops/conv.h"
#include "ops/delta_keys.h"
#include "ops/dplr.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class Kda : public SequenceMixer {
 public:
  Kda(const BuildContext& ctx, const KdaOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width, widths[3] = {o.heads * o.key_dim, o.heads * o.key_dim, o.heads * o.value_dim};
    const auto matrix = [&](const char* name, int64_t out, int64_t in) {
      return ops::LinearWeight{ctx.add(name, {out, in}, Role::matrix, ctx.matrix()), Tensor()};
    };
    const char *names[3] = {"query", "key", "value"}, *convs[3] = {"query_conv", "key_conv", "value_conv"};
    for (int i = 0; i < 3; ++i) projections_.push_back(matrix(names[i], widths[i], d));
    projections_.push_back(matrix("decay_down", o.decay_rank, d));
    projections_.push_back(matrix("gate_down", o.gate_rank, d));
    for (int i = 0; i < 3; ++i)
      convs_.push_back({ctx.add(convs[i], {widths[i], o.conv}, Role::bias, Init::normal(1 / std::sqrt(static_cast<double>(o.conv)))), Tensor(), o.activation});
    beta_ = matrix("beta", o.heads, d);
    decay_up_ = matrix("decay_up", widths[0], o.decay_rank);
    gate_up_ = matrix("gate_up", widths[2], o.gate_rank);
    if (o.gate_bias) gate_up_.bias_N = ctx.add("gate_up_bias", {widths[2]}, Role::bias, Init::constant(0));
    decay_rate_ = ctx.add("decay_rate", {o.heads}, Role::bias, Init::log_of_uniform(1, 16));
    decay_bias_ = ctx.add("decay_bias", {widths[0]}, Role::bias, Init::inverse_softplus(1e-3, 0.1));
    norm_ = {.eps = o.norm_eps, .gain_D = ctx.add("norm", {o.value_dim}, Role::norm, Init::constant(1))};
    output_ = {ctx.add("output", {d, widths[2]}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Shape heads{pass.batch(), pass.length(), o_.heads, o_.key_dim};
    const DType p = parameter_dtype(dtype_);
    const ConvolvedState state(pass, convs_.size());
    std::vector<Tensor> from_x = ops::linear(tape, x, projections_);
    for (size_t i = 0; i < 3; ++i) from_x[i] = ops::conv(tape, from_x[i], convs_[i], state.histories[i]);
    Tensor beta = ops::map(tape, Formula::sigmoid, {ops::linear(tape, x, beta_, p)});
    if (o_.beta_scale != 1) beta = ops::map(tape, Formula::scale, {beta}, {}, o_.beta_scale);
    const Tensor step =
        ops::map(tape, Formula::softplus_plus, {ops::linear(tape, from_x[3], decay_up_, p)}, {decay_bias_}, 0, std::numeric_limits<float>::max());
    // x/√(Σx² + ε) is RMSNorm with ε/K, divided by √K; the query's factor goes into the scale.
    const double k = static_cast<double>(o_.key_dim);
    if (!unit_.gain_D) unit_ = {.eps = 1e-6 / k, .gain_D = ops::constant(tape, {o_.key_dim}, p, 1 / std::sqrt(k))};
    const ops::DeltaKeys keys = ops::delta_keys(tape, ops::norm(tape, from_x[1].reshape(heads), unit_), step.reshape(heads), decay_rate_, beta);
    const Tensor o = ops::dplr(tape,
                               {.q = ops::norm(tape, from_x[0].reshape(heads), {.eps = 1e-6 / k}),
                                .k = keys.written,
                                .v = from_x[2].reshape({heads[0], heads[1], o_.heads, o_.value_dim}),
                                .a = keys.removed,
                                .b = keys.written,
                                .decay = keys.decay,
                                .scale = 1 / k},
                               state.memory);
    const Tensor gate = ops::linear(tape, from_x[4], gate_up_);
    return ops::linear(tape, ops::map(tape, Formula::sigmoid_gate, {ops::norm(tape, o, norm_).reshape(gate.shape()), gate}), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    return ConvolvedState::start(tape, batch, convs_, dtype_, {batch, o_.heads, o_.key_dim, o_.value_dim});
  }

 private:
  KdaOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> projections_;  // q, k, v, decay and gate in their low ranks
  std::vector<ops::ConvWeight> convs_;
  ops::LinearWeight beta_, decay_up_, gate_up_, output_;
  Tensor decay_rate_, decay_bias_;
  ops::NormWeight norm_, unit_;
};

}  // namespace

KdaOptions KdaOptions::take(Config& cfg, const ModelSpec& spec) {
  KdaOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", std::max<int64_t>(2, spec.width / 128), 1, 65536);
  o.key_dim = cfg.take_in<int64_t>("key_dim", std::min<int64_t>(std::max<int64_t>(1, spec.width / o.heads), 1024), 1, 1024);
  o.value_dim = cfg.take_in<int64_t>("value_dim", o.key_dim, 1, 65536);
  o.conv = cfg.take_in<int64_t>("conv", 4, 1, kernels::kMaxConvWidth);
  o.decay_rank = cfg.take_in<int64_t>("decay_rank", o.value_dim, 1, 1 << 20);
  o.gate_rank = cfg.take_in<int64_t>("gate_rank", o.value_dim, 1, 1 << 20);
  o.gate_bias = cfg.take<bool>("gate_bias", false);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.beta_scale = cfg.take_in<double>("beta_scale", 1.0, 0, 2);
  o.activation = activation_option(cfg, "activation", "silu");
  return o;
}

std::unique_ptr<SequenceMixer> build_kda(const BuildContext& ctx, Config& cfg) { return std::make_unique<Kda>(ctx, KdaOptions::take(cfg, ctx.spec)); }

}  // namespace gamut
