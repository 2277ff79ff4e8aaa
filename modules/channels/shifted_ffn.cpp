// A feed-forward layer whose input is mixed with that of the position before, x + (x_prev − x)∘μ, and which another mixture may gate:
// y = σ(W_r x_r)∘FFN(x_k). The channel mixing of RWKV.
#include "modules/channels/channels.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/map.h"

namespace gamut {
namespace {

class ShiftedFfn : public ChannelMixer {
 public:
  ShiftedFfn(const BuildContext& ctx, const ShiftedFfnOptions& o)
      : o_(o),
        width_(ctx.spec.width),
        dtype_(dtype_named(ctx.spec.dtype)),
        mix_(ctx.add("mix", {width_}, Role::bias, Init::constant(0.5))),
        weights_(add_ffn(ctx, o.ffn, 0, 1)) {
    if (!o.receptance) return;
    receptance_mix_ = ctx.add("receptance_mix", {width_}, Role::bias, Init::constant(0.5));
    receptance_ = {ctx.add("receptance", {width_, width_}, Role::matrix, ctx.matrix()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const Tensor previous = ops::shift(tape, x, pass.state ? static_cast<RecurrentState&>(*pass.state).advance(tape, pass.length())[0] : Tensor());
    const auto mixed = [&](const Tensor& mix) {
      return o_.mix_present ? ops::map(tape, kernels::Formula::mix, {previous, x}, {mix}) : ops::map(tape, kernels::Formula::mix, {x, previous}, {mix});
    };
    const Tensor y = ops::ffn(tape, mixed(mix_), weights_);
    return o_.receptance ? ops::map(tape, kernels::Formula::sigmoid_gate, {y, ops::linear(tape, mixed(receptance_mix_), receptance_)}) : y;
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1, width_}, dtype_);
    return state;
  }

 private:
  ShiftedFfnOptions o_;
  int64_t width_;
  DType dtype_;
  Tensor mix_, receptance_mix_;
  ops::FfnWeights weights_;
  ops::LinearWeight receptance_;
};

}  // namespace

ShiftedFfnOptions ShiftedFfnOptions::take(Config& cfg) {
  ShiftedFfnOptions o{.ffn = FfnOptions::take(cfg)};
  o.receptance = cfg.take<bool>("receptance", false);
  o.mix_present = cfg.take_choice("mix", "previous", {"previous", "present"}) == "present";
  return o;
}

std::unique_ptr<ChannelMixer> build_shifted_ffn(const BuildContext& ctx, Config& cfg) {
  return std::make_unique<ShiftedFfn>(ctx, ShiftedFfnOptions::take(cfg));
}

}  // namespace gamut
