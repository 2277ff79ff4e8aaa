// A feed-forward layer whose input is mixed with that of the position before: x + (x_prev − x)∘μ. The channel mixing of RWKV.
#include "modules/channels/channels.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/map.h"

namespace gamut {
namespace {

class ShiftedFfn : public ChannelMixer {
 public:
  ShiftedFfn(const BuildContext& ctx, const FfnOptions& o)
      : width_(ctx.spec.width), dtype_(dtype_named(ctx.spec.dtype)), mix_(ctx.add("mix", {width_}, Role::bias, Init::constant(0.5))), weights_(add_ffn(ctx, o, 0, 1)) {}

  Tensor forward(Pass& pass, const Tensor& x) override {
    const Tensor before = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(pass.tape, pass.length())[0] : Tensor();
    return ops::ffn(pass.tape, ops::map(pass.tape, kernels::Formula::mix, {x, ops::shift(pass.tape, x, before)}, {mix_}), weights_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1, width_}, dtype_);
    return state;
  }

 private:
  int64_t width_;
  DType dtype_;
  Tensor mix_;
  ops::FfnWeights weights_;
};

}  // namespace

std::unique_ptr<ChannelMixer> build_shifted_ffn(const BuildContext& ctx, Config& cfg) { return std::make_unique<ShiftedFfn>(ctx, FfnOptions::take(cfg)); }

}  // namespace gamut
