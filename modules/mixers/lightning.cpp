// Lightning attention: linear attention whose state decays by a number that depends on the head and the layer alone.
//
// q, k, v = SiLU(W x);  S ← e^(−s)·S + kᵀv;  o = q·S;  y = W_o(σ(W_g x)∘RMSNorm(o)), the norm over all heads together
// s of head h = 1 … H in layer l = 0 … L − 1: 2^(−8h/H)·(1 − l/(L − 1 + 1e-5) + 1e-5)
// [Qin et al., Lightning Attention-2, 2024; MiniMax, MiniMax-01, 2025]
#include <cmath>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/activate.h"
#include "ops/constant.h"
#include "ops/linear.h"
#include "ops/linear_attention.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

class Lightning : public SequenceMixer {
 public:
  Lightning(const BuildContext& ctx, const LightningOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width, inner = o.heads * o.head_dim;
    for (const char* name : {"query", "key", "value", "gate"}) projections_.push_back({ctx.add(name, {inner, d}, Role::matrix, ctx.matrix()), Tensor()});
    norm_ = {.eps = o.norm_eps, .gain_D = ctx.add("norm", {inner}, Role::norm, Init::constant(1))};
    output_ = {ctx.add("output", {d, inner}, Role::matrix, ctx.into_residual()), Tensor()};
    const double layers = static_cast<double>(ctx.spec.layers.size()), depth = 1 - ctx.layer / (layers - 1 + 1e-5) + 1e-5;
    for (int64_t h = 1; h <= o.heads; ++h) decay_.push_back(-depth * std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(o.heads)));
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length();
    std::vector<Tensor> p = ops::linear(tape, x, projections_);
    const auto heads = [&](const Tensor& y) { return ops::activate(tape, y, o_.activation).reshape({b, t, o_.heads, o_.head_dim}); };
    const Tensor memory = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(tape, t)[0] : Tensor();
    const Tensor o = ops::linear_attention(
        tape, {.q = heads(p[0]), .k = heads(p[1]), .v = heads(p[2]), .decay = ops::constant(tape, decay_, parameter_dtype(dtype_))}, memory);
    const Tensor y = ops::map(tape, kernels::Formula::sigmoid_gate, {ops::norm(tape, o.reshape(p[3].shape()), norm_), p[3]});
    return ops::linear(tape, y, output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, o_.heads, o_.head_dim, o_.head_dim}, parameter_dtype(dtype_));
    return state;
  }

 private:
  LightningOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> projections_;  // q, k, v, gate
  ops::LinearWeight output_;
  ops::NormWeight norm_;
  std::vector<double> decay_;  // −s of each head
};

}  // namespace

LightningOptions LightningOptions::take(Config& cfg, const ModelSpec& spec) {
  LightningOptions o{};
  o.heads = cfg.take_in<int64_t>("heads", 4, 1, 65536);
  o.head_dim = cfg.take_in<int64_t>("head_dim", std::max<int64_t>(1, spec.width / o.heads), 1, 65536);
  o.activation = activation_option(cfg, "activation", "silu");
  o.norm_eps = cfg.take_in<double>("norm_eps", 1e-6, 0, 1);
  return o;
}

std::unique_ptr<SequenceMixer> build_lightning(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<Lightning>(ctx, LightningOptions::take(cfg, ctx.spec));
}

}  // namespace gamut
