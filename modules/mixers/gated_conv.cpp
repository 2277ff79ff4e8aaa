// Gated short convolution: a causal depthwise convolution over a few positions between two gates.
//
// b, c, v = W x;  y = W_o(c∘conv(b∘v))   [Liquid AI, LFM2, 2025]
#include <cmath>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/map.h"

namespace gamut {
namespace {

class GatedConv : public SequenceMixer {
 public:
  GatedConv(const BuildContext& ctx, const GatedConvOptions& o) : dtype_(dtype_named(ctx.spec.dtype)), width_(ctx.spec.width) {
    const int64_t d = width_;
    const auto vector = [&](const std::string& name) { return o.bias ? ctx.add(name, {d}, Role::bias, Init::constant(0)) : Tensor(); };
    const auto matrix = [&](const std::string& name, Init init) {
      return ops::LinearWeight{ctx.add(name, {d, d}, Role::matrix, init), vector(name + "_bias")};
    };
    for (const char* name : {"write", "read", "value"}) projections_.push_back(matrix(name, ctx.matrix()));
    conv_ = {ctx.add("conv", {d, o.taps}, Role::bias, Init::normal(1 / std::sqrt(static_cast<double>(o.taps)))), vector("conv_bias")};
    output_ = matrix("output", ctx.into_residual());
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor history = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(tape, pass.length())[0] : Tensor();
    const auto times = [&](const Tensor& a, const Tensor& b) { return ops::map(tape, kernels::Formula::times, {a, b}); };
    const std::vector<Tensor> p = ops::linear(tape, x, projections_);
    return ops::linear(tape, times(p[1], ops::conv(tape, times(p[0], p[2]), conv_, history)), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, conv_.w_CW.shape()[1] - 1, width_}, dtype_);
    return state;
  }

 private:
  DType dtype_;
  int64_t width_;
  std::vector<ops::LinearWeight> projections_;  // b, c, v
  ops::ConvWeight conv_;
  ops::LinearWeight output_;
};

}  // namespace

GatedConvOptions GatedConvOptions::take(Config& cfg, const ModelSpec&) {
  GatedConvOptions o{};
  o.taps = cfg.take_in<int64_t>("taps", 3, 1, kernels::kMaxConvWidth);
  o.bias = cfg.take<bool>("bias", false);
  return o;
}

std::unique_ptr<SequenceMixer> build_gated_conv(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<GatedConv>(ctx, GatedConvOptions::take(cfg, ctx.spec));
}

}  // namespace gamut
