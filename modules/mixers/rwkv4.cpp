// RWKV-4 time mixing: a mean of all values so far with weights that decay, channel by channel.
//
// x_c = x_prev + (x − x_prev)∘μ_c for c in k, v, r;  k, v, r = W x_c
// y_t = (Σ_{i<t} e^(k_i − (t−1−i)·w)·v_i + e^(u + k_t)·v_t) / (the same without v);  out = W_o(σ(r)∘y)
// [Peng et al., RWKV: Reinventing RNNs for the transformer era, 2023]
#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/map.h"
#include "ops/wkv.h"

namespace gamut {
namespace {

using kernels::Formula;

class Rwkv4 : public SequenceMixer {
 public:
  Rwkv4(const BuildContext& ctx, const Rwkv4Options& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)), width_(ctx.spec.width) {
    for (const char* c : {"k", "v", "r"}) mix_.push_back(ctx.add(std::string("mix_") + c, {width_}, Role::bias, Init::constant(0.5)));
    for (const char* name : {"key", "value", "receptance"}) projections_.push_back({ctx.add(name, {o.inner, width_}, Role::matrix, ctx.matrix()), Tensor()});
    decay_ = ctx.add("decay", {o.inner}, Role::bias, Init::log_of_uniform(0.007, 3));
    bonus_ = ctx.add("bonus", {o.inner}, Role::bias, Init::constant(-1.2));
    output_ = {ctx.add("output", {width_, o.inner}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    Tape& tape = pass.tape;
    Tensor before, memory;
    if (pass.state) {
      const std::vector<Tensor>& kept = static_cast<RecurrentState&>(*pass.state).advance(tape, pass.length());
      before = kept[0];
      memory = kept[1];
    }
    const Tensor previous = ops::shift(tape, x, before);
    std::vector<Tensor> y;  // k, v, r
    for (size_t i = 0; i < 3; ++i) y.push_back(ops::linear(tape, ops::map(tape, Formula::mix, {previous, x}, {mix_[i]}), projections_[i]));
    const Tensor mean = ops::wkv(tape, {.key = y[0], .value = y[1], .log_rate_C = decay_, .bonus_C = bonus_}, memory);
    return ops::linear(tape, ops::map(tape, Formula::sigmoid_gate, {mean, y[2]}), output_);
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, 1, width_}, dtype_);
    state->add(tape, {batch, 3, o_.inner}, parameter_dtype(dtype_));
    return state;
  }

 private:
  Rwkv4Options o_;
  DType dtype_;
  int64_t width_;
  std::vector<Tensor> mix_;
  std::vector<ops::LinearWeight> projections_;
  Tensor decay_, bonus_;
  ops::LinearWeight output_;
};

}  // namespace

Rwkv4Options Rwkv4Options::take(Config& cfg, const ModelSpec& spec) { return {.inner = cfg.take_in<int64_t>("inner", spec.width, 1, 1 << 20)}; }

std::unique_ptr<SequenceMixer> build_rwkv4(const BuildContext& ctx, Config& cfg) { return std::make_unique<Rwkv4>(ctx, Rwkv4Options::take(cfg, ctx.spec)); }

}  // namespace gamut
