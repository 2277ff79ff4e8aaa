// Mamba: a selective state space whose decay, writing and reading depend on the token.
//
// x, z = W u;  x = SiLU(conv(x));  dt, B, C = W_x x (optionally normalised);  Δ = softplus(W_dt dt + b)
// h ← e^(ΔA)·h + Δ·B·x;  y = C·h + D·x;  out = W_o(y∘SiLU(z))   [Gu & Dao, Mamba, 2023; norms of dt, B, C: Jamba, 2024]
#include <cmath>
#include <limits>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/gate.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/norm.h"
#include "ops/scan.h"

namespace gamut {
namespace {

class Mamba : public SequenceMixer {
 public:
  Mamba(const BuildContext& ctx, const MambaOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t d = ctx.spec.width;
    const auto projection = [&](const std::string& name, int64_t out, int64_t in, Init init, bool bias) {
      ops::LinearWeight w{ctx.add(name, {out, in}, Role::matrix, init), Tensor()};
      if (bias) w.bias_N = ctx.add(name + "_bias", {out}, Role::bias, Init::constant(0));
      return w;
    };
    input_ = {projection("value", o.inner, d, ctx.matrix(), o.bias), projection("gate", o.inner, d, ctx.matrix(), o.bias)};
    conv_ = {ctx.add("conv", {o.inner, o.conv}, Role::bias, Init::normal(1 / std::sqrt(static_cast<double>(o.conv)))),
             o.conv_bias ? ctx.add("conv_bias", {o.inner}, Role::bias, Init::constant(0)) : Tensor(), o.activation};
    step_in_ = projection("step_in", o.rank, o.inner, ctx.matrix(), false);
    memory_ = {projection("write", o.state, o.inner, ctx.matrix(), false), projection("read", o.state, o.inner, ctx.matrix(), false)};
    step_ = projection("step", o.inner, o.rank, Init::normal(1 / std::sqrt(3.0 * static_cast<double>(o.rank))), false);
    step_bias_ = ctx.add("step_bias", {o.inner}, Role::bias, Init::inverse_softplus(1e-3, 0.1));
    log_rate_ = ctx.add("log_rate", {o.inner, o.state}, Role::bias, Init::log_of_count());
    skip_ = ctx.add("skip", {o.inner}, Role::bias, Init::constant(1));
    if (o.norms != "none")
      for (const auto& [name, n] : {std::pair("step_norm", o.rank), std::pair("write_norm", o.state), std::pair("read_norm", o.state)})
        norms_.push_back({.eps = o.norm_eps, .gain_D = o.norms == "gain" ? ctx.add(name, {n}, Role::norm, Init::constant(1)) : Tensor()});
    output_ = projection("output", d, o.inner, ctx.into_residual(), o.bias);
  }

  Tensor forward(Pass& pass, const Tensor& input) override {
    Tape& tape = pass.tape;
    const ConvolvedState state(pass, 1);
    const DType p = parameter_dtype(dtype_);
    const std::vector<Tensor> xz = ops::linear(tape, input, input_);
    const Tensor x = ops::conv(tape, xz[0], conv_, state.histories[0]);
    Tensor dt = ops::linear(tape, x, step_in_);
    std::vector<Tensor> bc = ops::linear(tape, x, memory_, p);
    if (!norms_.empty()) {
      dt = ops::norm(tape, dt, norms_[0]);
      for (size_t i = 0; i < 2; ++i) bc[i] = ops::norm(tape, bc[i], norms_[i + 1]);
    }
    const Tensor delta = ops::map(tape, kernels::Formula::softplus_plus, {ops::linear(tape, dt, step_, p)}, {step_bias_}, 0, std::numeric_limits<float>::max());
    const Tensor y = ops::scan(tape, {.x = x, .delta = delta, .b = bc[0], .c = bc[1], .log_rate_EN = log_rate_, .skip_E = skip_}, state.memory);
    return ops::linear(tape, ops::gate(tape, kernels::Activation::silu, xz[1], y), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    return ConvolvedState::start(tape, batch, std::span(&conv_, 1), dtype_, {batch, o_.state, o_.inner});
  }

 private:
  MambaOptions o_;
  DType dtype_;
  std::vector<ops::LinearWeight> input_, memory_;  // x and z; B and C
  ops::LinearWeight step_in_, step_, output_;
  ops::ConvWeight conv_;
  Tensor step_bias_, log_rate_, skip_;
  std::vector<ops::NormWeight> norms_;             // of dt, B, C
};

}  // namespace

MambaOptions MambaOptions::take(Config& cfg, const ModelSpec& spec) {
  MambaOptions o{};
  o.inner = cfg.take_in<int64_t>("inner", 2 * spec.width, 1, 1 << 24);
  o.state = cfg.take_in<int64_t>("state", 16, 1, 1024);
  o.rank = cfg.take_in<int64_t>("rank", (spec.width + 15) / 16, 1, 1 << 20);
  o.conv = cfg.take_in<int64_t>("conv", 4, 1, kernels::kMaxConvWidth);
  o.conv_bias = cfg.take<bool>("conv_bias", true);
  o.bias = cfg.take<bool>("bias", false);
  o.norms = cfg.take_choice("norms", "none", {"none", "plain", "gain"});
  o.norm_eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1);
  o.activation = activation_option(cfg, "activation", "silu");
  return o;
}

std::unique_ptr<SequenceMixer> build_mamba(const BuildContext& ctx, Config& cfg) { return std::make_unique<Mamba>(ctx, MambaOptions::take(cfg, ctx.spec)); }

}  // namespace gamut
