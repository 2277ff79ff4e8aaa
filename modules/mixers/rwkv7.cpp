// RWKV-7 time mixing: a state per head that decays per channel and replaces what it held under the current key.
//
// x_c = x + (x_prev − x)∘μ_c for c in r, w, k, v, a, g
// r, k, v = W x;  log w = −e^(−1/2)·σ(w0 + W_w2·tanh(W_w1 x_w));  a = σ(a0 + W_a2·W_a1 x_a);  g = W_g2·σ(W_g1 x_g)
// after the first layer: v ← v + (v_first − v)∘σ(v0 + W_v2·W_v1 x_v)
// κ̂ = k∘k_k / ‖·‖;  k̃ = k∘(1 + (a − 1)∘k_a);  S ← diag(w)·S + (κ̂∘a)ᵀ(−κ̂·S) + k̃ᵀv;  o = r·S
// y = W_o((GroupNorm(o) + (Σ r∘k̃∘r_k)·v)∘g)   [Peng et al., RWKV-7 "Goose", 2025; BlinkDL/RWKV-LM]
#include <cmath>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/constant.h"
#include "ops/conv.h"
#include "ops/dplr.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

using kernels::Formula;

class Rwkv7 : public SequenceMixer {
 public:
  Rwkv7(const BuildContext& ctx, const Rwkv7Options& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)), width_(ctx.spec.width), first_(ctx.layer == o.first_layer) {
    const int64_t d = ctx.spec.width;
    const auto matrix = [&](const std::string& name, int64_t out, int64_t in, Init init) { return ops::LinearWeight{ctx.add(name, {out, in}, Role::matrix, init), Tensor()}; };
    const auto vector = [&](const std::string& name, double value) { return ctx.add(name, {d}, Role::bias, Init::constant(value)); };
    for (const char* c : {"r", "w", "k", "v", "a", "g"}) mix_.push_back(vector(std::string("mix_") + c, 0.5));
    receptance_ = matrix("receptance", d, d, ctx.matrix());
    key_ = matrix("key", d, d, ctx.matrix());
    value_ = matrix("value", d, d, ctx.matrix());
    const auto low_rank = [&](const std::string& name, int64_t rank) { return LowRank{matrix(name + "_down", rank, d, ctx.matrix()), matrix(name + "_up", d, rank, ctx.matrix())}; };
    decay_ = low_rank("decay", o.decay_rank);
    rate_ = low_rank("rate", o.rate_rank);
    gate_ = low_rank("gate", o.gate_rank);
    decay_base_ = vector("decay_base", -2);
    rate_base_ = vector("rate_base", 0);
    if (!first_) {
      residual_ = low_rank("residual", o.residual_rank);
      residual_base_ = vector("residual_base", 0.73);
    }
    key_removed_ = vector("key_removed", 0.71);
    key_rate_ = vector("key_rate", 1.02);
    bonus_ = ctx.add("bonus", {d / o.head_dim, o.head_dim}, Role::bias, Init::constant(-0.04));
    norm_gain_ = ctx.add("norm", {d}, Role::norm, Init::constant(1));
    norm_bias_ = ctx.add("norm_bias", {d}, Role::norm, Init::constant(0));
    output_ = matrix("output", d, d, ctx.into_residual());
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length(), h = width_ / o_.head_dim;
    Tensor before, memory;
    if (pass.state) {
      const std::vector<Tensor>& kept = static_cast<RecurrentState&>(*pass.state).advance(tape, t);
      before = kept[0];
      memory = kept[1];
    }
    const Tensor previous = ops::shift(tape, x, before);
    const auto mixed = [&](size_t c) { return ops::map(tape, Formula::mix, {x, previous}, {mix_[c]}); };
    const Tensor x_v = mixed(3);
    const Tensor r = ops::linear(tape, mixed(0), receptance_), k = ops::linear(tape, mixed(2), key_);
    Tensor v = ops::linear(tape, x_v, value_);
    const DType p = parameter_dtype(dtype_);
    const Tensor log_w = ops::map(tape, Formula::scaled_sigmoid_plus, {ops::linear(tape, ops::map(tape, Formula::tanh, {ops::linear(tape, mixed(1), decay_.down)}), decay_.up, p)}, {decay_base_}, -std::exp(-0.5));
    const Tensor a = ops::map(tape, Formula::sigmoid_plus, {ops::linear(tape, ops::linear(tape, mixed(4), rate_.down), rate_.up)}, {rate_base_});
    const Tensor g = ops::linear(tape, ops::map(tape, Formula::sigmoid, {ops::linear(tape, mixed(5), gate_.down)}), gate_.up);
    if (first_) pass.first_values = v;
    else v = ops::map(tape, Formula::mix_sigmoid_plus, {v, pass.first_values, ops::linear(tape, ops::linear(tape, x_v, residual_.down), residual_.up)}, {residual_base_});
    const Shape heads{b, t, h, o_.head_dim};
    // κ̂: RMSNorm divided by √K has length 1.
    const double dim = static_cast<double>(o_.head_dim);
    if (!unit_.gain_D) unit_ = {.eps = o_.key_eps / dim, .gain_D = ops::constant(tape, {o_.head_dim}, p, 1 / std::sqrt(dim))};
    const Tensor removed = ops::norm(tape, ops::map(tape, Formula::times_vector, {k}, {key_removed_}).reshape(heads), unit_).reshape(k.shape());
    const Tensor written = ops::map(tape, Formula::key_scale, {k, a}, {key_rate_});
    Tensor o = ops::dplr(tape, {.q = r.reshape(heads), .k = written.reshape(heads), .v = v.reshape(heads), .a = removed.reshape(heads),
                                .b = ops::map(tape, Formula::minus_times, {removed, a}).reshape(heads), .decay = log_w.reshape(heads)}, memory);
    o = ops::norm(tape, o, {.kind = kernels::NormKind::layer, .eps = o_.norm_eps}).reshape(x.shape());
    o = ops::map(tape, Formula::affine, {o}, {norm_gain_, norm_bias_});
    o = ops::add_bonus(tape, o.reshape(heads), r.reshape(heads), written.reshape(heads), v.reshape(heads), bonus_).reshape(x.shape());
    return ops::linear(tape, ops::map(tape, Formula::times, {o, g}), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1, width_}, dtype_);
    state->add(tape, {batch, width_ / o_.head_dim, o_.head_dim, o_.head_dim}, parameter_dtype(dtype_));
    return state;
  }

 private:
  struct LowRank {
    ops::LinearWeight down, up;
  };
  Rwkv7Options o_;
  DType dtype_;
  int64_t width_;
  bool first_;
  std::vector<Tensor> mix_;
  ops::LinearWeight receptance_, key_, value_, output_;
  LowRank decay_, rate_, gate_, residual_;
  Tensor decay_base_, rate_base_, residual_base_, key_removed_, key_rate_, bonus_, norm_gain_, norm_bias_;
  ops::NormWeight unit_;
};

}  // namespace

Rwkv7Options Rwkv7Options::take(Config& cfg, const ModelSpec& spec) {
  Rwkv7Options o{};
  o.head_dim = cfg.take_in<int64_t>("head_dim", std::min<int64_t>(64, spec.width), 1, 1024);
  if (spec.width % o.head_dim != 0) cfg.reject("head_dim", "must divide width (" + std::to_string(spec.width) + "), not " + std::to_string(o.head_dim));
  const auto rank = [&](const char* key, double times) {  // the ranks of the released models, in steps of 32
    return cfg.take_in<int64_t>(key, std::max<int64_t>(8, std::llround(times * std::sqrt(static_cast<double>(spec.width)) / 32) * 32), 1, 1 << 20);
  };
  o.decay_rank = rank("decay_rank", 2.5);
  o.rate_rank = rank("rate_rank", 2.5);
  o.residual_rank = rank("residual_rank", 1.7);
  o.gate_rank = rank("gate_rank", 5);
  o.norm_eps = cfg.take_in<double>("norm_eps", 64e-5, 0, 1);
  o.key_eps = cfg.take_in<double>("key_eps", 1e-24, 0, 1);
  o.first_layer = cfg.take_in<int64_t>("first_layer", 0, 0, 4096);
  return o;
}

std::unique_ptr<SequenceMixer> build_rwkv7(const BuildContext& ctx, Config& cfg) { return std::make_unique<Rwkv7>(ctx, Rwkv7Options::take(cfg, ctx.spec)); }

}  // namespace gamut
