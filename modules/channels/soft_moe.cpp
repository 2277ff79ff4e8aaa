// Soft mixture of experts: every slot of an expert takes a weighted mean of all tokens, every token a weighted mean of all slots.
// [Puigcerver et al., From sparse to soft mixtures of experts, 2023]
#include <cmath>

#include "modules/channels/channels.h"
#include "ops/constant.h"
#include "ops/mix.h"
#include "ops/norm.h"
#include "ops/route.h"
#include "ops/rowwise.h"

namespace gamut {
namespace {

class SoftMoe : public ChannelMixer {
 public:
  SoftMoe(const BuildContext& ctx, const FfnOptions& expert, int64_t experts, int64_t slots)
      : experts_(experts),
        slots_(slots),
        slot_vectors_(ctx.add("slots", {experts * slots, ctx.spec.width}, Role::router, Init::normal(1 / std::sqrt(static_cast<double>(ctx.spec.width))))),
        scale_(ctx.add("slot_scale", {1}, Role::bias, Init::constant(1))),
        weights_(add_ffn(ctx, expert, experts, 1)) {}

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    const int64_t batch = pass.batch(), length = pass.length(), slots = experts_ * slots_;
    const double root = std::sqrt(static_cast<double>(x.width()));  // rms norm makes rows of length √D
    const Tensor unit = ops::norm(tape, x, {.kind = kernels::NormKind::rms, .eps = 1e-12, .gain_D = ops::constant(tape, {x.width()}, scale_.dtype(), 1)});
    const Tensor logits = ops::times_scalar(tape, ops::router_logits(tape, unit, ops::unit_rows(tape, slot_vectors_), Tensor()), scale_, [root](double s) {
      return ops::ValueAndSlope{s / root, 1 / root};
    });
    const Tensor inputs = ops::mix(tape, ops::softmax_over_rows(tape, logits, length), x, batch, ops::MixTo::slots);  // [B·S, D]
    const Tensor index = tape.empty({batch * slots, 1}, DType::i32);
    if (tape.runs())
      for (int64_t i = 0; i < batch * slots; ++i) index.data<int32_t>()[i] = static_cast<int32_t>(i % slots / slots_);
    const Tensor outputs = ops::moe(tape, inputs, {index, ops::constant(tape, {batch * slots, 1}, logits.dtype(), 1)}, weights_);
    const Tensor combine = ops::select(tape, logits, Tensor(), {.norm = kernels::GateNorm::none, .k = 1}).scores_NE;
    return ops::mix(tape, combine, outputs, batch, ops::MixTo::tokens).reshape(x.shape());
  }

 private:
  int64_t experts_, slots_;
  Tensor slot_vectors_, scale_;
  ops::FfnWeights weights_;
};

}  // namespace

std::unique_ptr<ChannelMixer> build_soft_moe(const BuildContext& ctx, Config& cfg) {
  const auto experts = cfg.take_in<int64_t>("experts", 8, 1, 1 << 16), slots = cfg.take_in<int64_t>("slots", 1, 1, 1 << 16);
  if (!cfg.take<bool>("allow_lookahead", false) && ctx.spec.objective.kind == "causal")
    cfg.reject("kind", "is soft_moe, whose slots mix later tokens in: a causal model would see the future while it trains and could not decode alike",
               "allow_lookahead = true allows it");
  return std::make_unique<SoftMoe>(ctx, FfnOptions::take(cfg), experts, slots);
}

}  // namespace gamut
