// RWKV-5 and RWKV-6 time mixing: a state per head that decays per channel, read before the token is written, and the token itself with a weight.
//
// xx = x_prev − x.  RWKV-5: x_c = x_prev + (x − x_prev)∘μ_c for c in k, v, r, g;  ω a vector
// RWKV-6: x_c = x + xx∘(μ_c + W_c2·tanh(W_c1(x + xx∘μ_x))) for c in w, k, v, r, g;  ω = ω_0 + W_2·tanh(W_1 x_w)
// r, k, v, g = W x;  o = r·(S + diag(u)·kᵀv);  S ← diag(e^(−e^ω))·S + kᵀv;  y = W_o(GroupNorm(o)∘SiLU(g)), a group for each head
// [Peng et al., Eagle and Finch: RWKV with matrix-valued states and dynamic recurrence, 2024; BlinkDL/RWKV-LM]
#include <algorithm>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/constant.h"
#include "ops/conv.h"
#include "ops/dplr.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class Rwkv6 : public SequenceMixer {
 public:
  Rwkv6(const BuildContext& ctx, const Rwkv6Options& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)), width_(ctx.spec.width) {
    const int64_t d = width_;
    const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
      return ops::LinearWeight{ctx.add(name, {out, in}, Role::matrix, ctx.matrix()), Tensor()};
    };
    const auto mix = [&](const char* c) { return ctx.add(std::string("mix_") + c, {d}, Role::bias, Init::constant(0.5)); };
    if (o.dynamic) {
      mix_x_ = mix("x");
      for (const char* c : {"w", "k", "v", "r", "g"}) {
        mix_.push_back(mix(c));
        mix_down_.push_back(matrix(std::string("mix_") + c + "_down", o.mix_rank, d));
        mix_up_.push_back(matrix(std::string("mix_") + c + "_up", d, o.mix_rank));
      }
      decay_down_ = matrix("decay_down", o.decay_rank, d);
      decay_up_ = matrix("decay_up", o.inner, o.decay_rank);
    } else {
      for (const char* c : {"k", "v", "r", "g"}) mix_.push_back(mix(c));
    }
    for (const char* name : {"key", "value", "receptance", "gate"}) projections_.push_back(matrix(name, o.inner, d));
    decay_ = ctx.add("decay", {o.inner}, Role::bias, Init::log_of_uniform(0.003, 0.5));
    bonus_ = ctx.add("bonus", {o.inner / o.head_dim, o.head_dim}, Role::bias, Init::constant(0.5));
    norm_gain_ = ctx.add("norm", {o.inner}, Role::norm, Init::constant(1));
    norm_bias_ = ctx.add("norm_bias", {o.inner}, Role::norm, Init::constant(0));
    output_ = {ctx.add("output", {d, o.inner}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    Tensor before, memory;
    if (pass.state) {
      const std::vector<Tensor>& kept = static_cast<RecurrentState&>(*pass.state).advance(tape, pass.length());
      before = kept[0];
      memory = kept[1];
    }
    const Shape inner{pass.batch(), pass.length(), o_.inner}, heads{pass.batch(), pass.length(), o_.inner / o_.head_dim, o_.head_dim};
    const DType p = parameter_dtype(dtype_);
    std::vector<Tensor> mixed = this->mixed(tape, x, ops::shift(tape, x, before));
    Tensor rate = o_.dynamic ? ops::linear(tape, ops::map(tape, Formula::tanh, {ops::linear(tape, mixed[0], decay_down_)}), decay_up_, p)
                             : ops::constant(tape, inner, p, 0);
    rate = ops::map(tape, Formula::minus_exp_plus, {rate}, {decay_});
    if (o_.dynamic) mixed.erase(mixed.begin());
    std::vector<Tensor> y;  // k, v, r, g
    for (size_t i = 0; i < 4; ++i) y.push_back(ops::linear(tape, mixed[i], projections_[i]));
    const Tensor k = y[0].reshape(heads), v = y[1].reshape(heads), r = y[2].reshape(heads);
    Tensor o = ops::dplr(tape, {.q = r, .k = k, .v = v, .a = Tensor(), .b = Tensor(), .decay = rate.reshape(heads), .early = true}, memory);
    o = ops::add_bonus(tape, o, r, k, v, bonus_);
    o = ops::norm(tape, o, {.kind = kernels::NormKind::layer, .eps = o_.norm_eps}).reshape(inner);
    o = ops::map(tape, Formula::affine, {o}, {norm_gain_, norm_bias_});
    return ops::linear(tape, ops::gate(tape, kernels::Activation::silu, y[3], o), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1, width_}, dtype_);
    state->add(tape, {batch, o_.inner / o_.head_dim, o_.head_dim, o_.head_dim}, parameter_dtype(dtype_));
    return state;
  }

 private:
  // (w,) k, v, r, g
  std::vector<Tensor> mixed(Tape& tape, const Tensor& x, const Tensor& previous) const {
    std::vector<Tensor> out;
    if (!o_.dynamic) {
      for (const Tensor& mix : mix_) out.push_back(ops::map(tape, Formula::mix, {previous, x}, {mix}));
      return out;
    }
    const std::vector<Tensor> low = ops::linear(tape, ops::map(tape, Formula::mix, {x, previous}, {mix_x_}), mix_down_);
    for (size_t i = 0; i < low.size(); ++i)
      out.push_back(ops::map(tape, Formula::mix_plus, {x, previous, ops::linear(tape, ops::map(tape, Formula::tanh, {low[i]}), mix_up_[i])}, {mix_[i]}));
    return out;
  }

  Rwkv6Options o_;
  DType dtype_;
  int64_t width_;
  Tensor mix_x_, decay_, bonus_, norm_gain_, norm_bias_;
  std::vector<Tensor> mix_;
  std::vector<ops::LinearWeight> mix_down_, mix_up_, projections_;
  ops::LinearWeight decay_down_, decay_up_, output_;
};

}  // namespace

Rwkv6Options Rwkv6Options::take(Config& cfg, const ModelSpec& spec, bool dynamic) {
  Rwkv6Options o{};
  o.dynamic = dynamic;
  o.inner = cfg.take_in<int64_t>("inner", spec.width, 1, 1 << 20);
  o.head_dim = cfg.take_in<int64_t>("head_dim", std::min<int64_t>(64, o.inner), 1, 1024);
  if (o.inner % o.head_dim != 0) cfg.reject("head_dim", "must divide inner (" + std::to_string(o.inner) + "), not " + std::to_string(o.head_dim));
  if (dynamic) {
    o.mix_rank = cfg.take_in<int64_t>("mix_rank", 32, 1, 1 << 20);
    o.decay_rank = cfg.take_in<int64_t>("decay_rank", 64, 1, 1 << 20);
  }
  o.norm_eps = cfg.take_in<double>("norm_eps", 64e-5, 0, 1e3);
  return o;
}

std::unique_ptr<SequenceMixer> build_rwkv6(const BuildContext& ctx, Config& cfg, bool dynamic) {
  return std::make_unique<Rwkv6>(ctx, Rwkv6Options::take(cfg, ctx.spec, dynamic));
}

}  // namespace gamut
