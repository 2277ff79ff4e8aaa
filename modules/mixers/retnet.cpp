// Retention: linear attention whose state decays by a number that depends on the head alone, with rotated queries and keys.
//
// q, k = rotated W x;  S ← γ·S + kᵀv;  o = q·S/√K;  y = W_o(RMSNorm(o)∘SiLU(W_g x)), γ = 1 − 2^(−5−h) of head h = 0 …
// [Sun et al., Retentive Network, 2023; the norm has weights, as in flash-linear-attention]
#include <cmath>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/constant.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/linear_attention.h"
#include "ops/norm.h"
#include "ops/rotary.h"

namespace gamut {
namespace {

class RetNet : public SequenceMixer {
 public:
  RetNet(const BuildContext& ctx, const RetNetOptions& o)
      : o_(o), dtype_(dtype_named(ctx.spec.dtype)), rope_({.rotary = o.key_dim, .theta = o.theta}, parameter_dtype(dtype_)) {
    const int64_t d = ctx.spec.width, keys = o.heads * o.key_dim, values = o.heads * o.value_dim;
    for (const auto& [name, width] : {std::pair("query", keys), std::pair("key", keys), std::pair("value", values), std::pair("gate", values)})
      projections_.push_back({ctx.add(name, {width, d}, Role::matrix, ctx.matrix()), Tensor()});
    norm_ = {.eps = o.norm_eps, .gain_D = ctx.add("norm", {o.value_dim}, Role::norm, Init::constant(1))};
    output_ = {ctx.add("output", {d, values}, Role::matrix, ctx.into_residual()), Tensor()};
    for (int64_t h = 0; h < o.heads; ++h) decay_.push_back(std::log1p(-std::exp2(-5 - static_cast<double>(h))));
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    std::vector<Tensor> p = ops::linear(tape, x, projections_);
    const RopeTable& table = rope_.table(tape, pass.offset + t);
    const auto rotated = [&](const Tensor& y) {
      return ops::rotary(tape, y.reshape({b, t, o_.heads, o_.key_dim}), pass.positions_N, table.cos_MR, table.sin_MR, kernels::RotaryStyle::half_split);
    };
    const Tensor memory = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(tape, t)[0] : Tensor();
    const Tensor o = ops::linear_attention(tape,
                                           {.q = rotated(p[0]),
                                            .k = rotated(p[1]),
                                            .v = p[2].reshape({b, t, o_.heads, o_.value_dim}),
                                            .decay = ops::constant(tape, decay_, parameter_dtype(dtype_)),
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
  RetNetOptions o_;
  DType dtype_;
  Rope rope_;
  std::vector<ops::LinearWeight> projections_;  // q, k, v, gate
  ops::LinearWeight output_;
  ops::NormWeight norm_;
  std::vector<double> decay_;  // ln γ of each head
};

}  // namespace

RetNetOptions RetNetOptions::take(Config& cfg, const ModelSpec& spec) {
  RetNetOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.key_dim = cfg.take_in<int64_t>("key_dim", std::max<int64_t>(2, spec.width / o.heads / 2 * 2), 2, 65536);
  if (o.key_dim % 2 != 0) cfg.reject("key_dim", "must be even, as pairs of its numbers rotate, not " + std::to_string(o.key_dim));
  o.value_dim = cfg.take_in<int64_t>("value_dim", 2 * o.key_dim, 1, 65536);
  o.theta = cfg.take_in<double>("rope_theta", 10000, 1e-9, 1e30);
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  return o;
}

std::unique_ptr<SequenceMixer> build_retnet(const BuildContext& ctx, Config& cfg) { return std::make_unique<RetNet>(ctx, RetNetOptions::take(cfg, ctx.spec)); }

}  // namespace gamut
