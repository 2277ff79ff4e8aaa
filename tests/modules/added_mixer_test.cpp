// A sequence mixer that a program adds: this file, and in it one line for the registry. All laws of mixer_laws_test.cpp then run over it,
// and any model may name it.
#include <gtest/gtest.h>

#include "modules/model.h"
#include "modules/registry.h"
#include "modules/state.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "temp_folder.h"

namespace gamut {
namespace {

// y = W·(Σ of the last `taps` inputs, each channel with weights of its own).
class MovingSum : public SequenceMixer {
 public:
  MovingSum(const BuildContext& ctx, Config& options) : dtype_(dtype_named(ctx.spec.dtype)) {
    const auto taps = options.take_in<int64_t>("taps", 4, 2, kernels::kMaxConvWidth);
    weights_ = {ctx.add("weights", {ctx.spec.width, taps}, Role::bias, Init::normal(0.5)), Tensor()};
    output_ = {ctx.add("output", {ctx.spec.width, ctx.spec.width}, Role::matrix, ctx.into_residual()), Tensor()};
  }
  Tensor forward(Pass& pass, const Tensor& x) override {
    const Tensor before = pass.state ? static_cast<RecurrentState&>(*pass.state).advance(pass.tape, pass.length())[0] : Tensor();
    return ops::linear(pass.tape, ops::conv(pass.tape, x, weights_, before), output_);
  }
  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch, int64_t) const override {
    auto state = std::make_unique<RecurrentState>();
    state->add(tape, {batch, weights_.w_CW.shape()[1] - 1, weights_.w_CW.shape()[0]}, dtype_);
    return state;
  }

 private:
  DType dtype_;
  ops::ConvWeight weights_;
  ops::LinearWeight output_;
};

const auto& row = sequence_mixers().emplace_back(Registered<SequenceMixer>{
    "moving_sum", "A weighted sum of the last inputs. Options: taps.", [](const BuildContext& ctx, Config& options) { return std::make_unique<MovingSum>(ctx, options); }, {R"({"taps": 3})"}});

TEST(AddedMixer, IsBuiltByItsNameAndReadsItsOptions) {
  ThreadPool pool(1);
  ModelSpec spec{.vocab = 5, .width = 8, .layers = {{{row.kind, {{"taps", 5}}}, {"ffn", {{"hidden", 4}}}}}};
  Model model(spec, Device::real(pool));
  EXPECT_EQ(model.parameters().find("layers.0.mixer.weights")->value.shape(), (Shape{8, 5}));
  spec.layers[0].mixer.options = {{"tabs", 5}};
  EXPECT_ERROR(Model(spec, Device::real(pool)), "did you mean 'taps'");
}

}  // namespace
}  // namespace gamut
