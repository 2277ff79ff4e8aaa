// Gated linear attention: a state that decays by a number for each key channel and token.
//
// q, k, v = W x;  g = max(log σ(W_2·W_1 x + b)/divisor, least);  S ← diag(e^g)·S + kᵀv;  o = q·S/√K;  y = W_o(RMSNorm(o)∘SiLU(W_g x))
// [Yang et al., Gated linear attention transformers with hardware-efficient training, 2023]
#include <algorithm>
#include <cmath>
#include <limits>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/dplr.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class Gla : public SequenceMixer {
 public:
  Gla(const BuildContext& ctx, const GlaOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width, keys = o.heads * o.key_dim, values = o.heads * o.value_dim;
    const auto matrix = [&](const char* name, int64_t out, int64_t in) {
      return ops::LinearWeight{ctx.add(name, {out, in}, Role::matrix, ctx.matrix()), Tensor()};
    };
    projections_ = {matrix("query", keys, d), matrix("key", keys, d), matrix("value", values, d), matrix("gate", values, d),
                    matrix("decay_down", o.decay_rank, d)};
    decay_up_ = matrix("decay_up", keys, o.decay_rank);
    decay_up_.bias_N = ctx.add("decay_up_bias", {keys}, Role::bias, Init::constant(0));
    norm_ = {.eps = o.norm_eps, .gain_D = ctx.add("norm", {o.value_dim}, Role::norm, Init::constant(1))};
    output_ = {ctx.add("output", {d, values}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Shape keys{pass.batch(), pass.length(), o_.heads, o_.key_dim}, values{pass.batch(), pass.length(), o_.heads, o_.value_dim};
    const std::vector<Tensor> p = ops::linear(tape, x, projections_);
    Tensor decay = ops::linear(tape, p[4], decay_up_, parameter_dtype(dtype_));
    decay = ops::map(tape, Formula::log_sigmoid, {decay}, {}, 1 / o_.decay_divisor);
    if (o_.decay_min > -std::numeric_limits<float>::max()) decay = ops::map(tape, Formula::clip, {decay}, {}, o_.decay_min, 0);
    const Tensor memory = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(tape, pass.length())[0] : Tensor();
    const Tensor o = ops::dplr(tape,
                               {.q = p[0].reshape(keys),
                                .k = p[1].reshape(keys),
                                .v = p[2].reshape(values),
                                .a = Tensor(),
                                .b = Tensor(),
                                .decay = decay.reshape(keys),
                                .scale = 1 / std::sqrt(static_cast<double>(o_.key_dim))},
                               memory);
    return ops::linear(tape, ops::gate(tape, kernels::Activation::silu, p[3], ops::norm(tape, o, norm_).reshape(p[3].shape())), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, o_.heads, o_.key_dim, o_.value_dim}, parameter_dtype(dtype_));
    return state;
  }

 private:
  GlaOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> projections_;  // q, k, v, gate, decay in its low rank
  ops::LinearWeight decay_up_, output_;
  ops::NormWeight norm_;
};

}  // namespace

GlaOptions GlaOptions::take(Config& cfg, const ModelSpec& spec) {
  GlaOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.key_dim = cfg.take_in<int64_t>("key_dim", std::clamp<int64_t>(spec.width / o.heads / 2, 1, 1024), 1, 1024);
  o.value_dim = cfg.take_in<int64_t>("value_dim", std::max<int64_t>(1, spec.width / o.heads), 1, 65536);
  o.decay_rank = cfg.take_in<int64_t>("decay_rank", 16, 1, 1 << 20);
  o.decay_divisor = cfg.take_in<double>("decay_divisor", 16, 1e-6, 1e6);
  o.decay_min = cfg.take_in<double>("decay_min", -std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(), 0);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  return o;
}

std::unique_ptr<SequenceMixer> build_gla(const BuildContext& ctx, Config& cfg) { return std::make_unique<Gla>(ctx, GlaOptions::take(cfg, ctx.spec)); }

}  // namespace gamut
