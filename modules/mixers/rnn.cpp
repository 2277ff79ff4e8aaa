// Recurrent networks as mixers: one product with all gates' input weights, then the cell token by token (kernels/cell.h).
// [Hochreiter & Schmidhuber 1997; Cho et al. 2014; Elman 1990; order of gates and two biases as in cuDNN and torch.nn]
#include <cmath>

#include "modules/mixers/mixers.h"
#include "modules/state.h"
#include "ops/rnn.h"

namespace gamut {
namespace {

class Rnn : public SequenceMixer {
 public:
  Rnn(const BuildContext& ctx, const RnnOptions& o) : o_(o), dtype_(dtype_named(ctx.spec.dtype)) {
    const int64_t gates = kernels::gates_of(o.cell);
    const auto matrix = [&](const std::string& name, int64_t in) {
      ops::LinearWeight w{ctx.add(name, {gates * o.hidden, in}, Role::matrix, Init::normal(1 / std::sqrt(3.0 * static_cast<double>(o.hidden)))), Tensor()};  // variance of torch.nn's ±1/√H
      if (o.bias) w.bias_N = ctx.add(name + "_bias", {gates * o.hidden}, Role::bias, Init::constant(0));
      return w;
    };
    input_ = matrix("input", ctx.input);
    recurrent_ = matrix("recurrent", o.hidden);
    if (o.output) output_ = {ctx.add("output", {ctx.spec.width, o.hidden}, Role::matrix, ctx.into_residual()), Tensor()};
  }

  Tensor forward(Pass& pass, const Tensor& x) override {
    ops::RnnState state;
    if (pass.state) {
      const std::vector<Tensor>& kept = static_cast<RecurrentState&>(*pass.state).advance(pass.tape, pass.length());
      state.h = kept[0];
      if (kept.size() > 1) state.c = kept[1];
    }
    const Tensor y = ops::rnn(pass.tape, {o_.cell, ops::linear(pass.tape, x, input_), recurrent_}, state);
    return o_.output ? ops::linear(pass.tape, y, output_) : y;
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, o_.hidden}, dtype_);
    if (o_.cell == kernels::Cell::lstm) state->add(tape, {batch, o_.hidden}, parameter_dtype(dtype_));
    return state;
  }

 private:
  RnnOptions o_;
  DType dtype_;
  ops::LinearWeight input_, recurrent_, output_;
};

}  // namespace

RnnOptions RnnOptions::take(Config& cfg, const ModelSpec& spec, kernels::Cell cell) {
  RnnOptions o{.cell = cell};
  o.hidden = cfg.take_in<int64_t>("hidden", spec.width, 1, 1 << 20);
  o.bias = cfg.take<bool>("bias", true);
  o.output = cfg.take<bool>("output", spec.placement != NormPlacement::none);
  if (!o.output && o.hidden != spec.width) cfg.reject("hidden", "must be the width (" + std::to_string(spec.width) + ") without an output projection, not " + std::to_string(o.hidden));
  return o;
}

std::unique_ptr<SequenceMixer> build_rnn(const BuildContext& ctx, Config& cfg, kernels::Cell cell) { return std::make_unique<Rnn>(ctx, RnnOptions::take(cfg, ctx.spec, cell)); }

}  // namespace gamut
