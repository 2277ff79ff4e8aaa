#include "ops/ffn.h"

#include "ops/cases/families.h"

namespace gamut::ops::cases {
namespace {

using kernels::Activation;

Case ffn_case(std::string name, Activation activation_kind, Shape x, int64_t h, bool gated, bool biased) {
  const int64_t d = x.width();
  Case c{.name = "ffn/" + name, .inputs = {activation("x", x), weight("gate", {h, d}), weight("down", {d, h})}};
  if (gated) c.inputs.push_back(weight("up", {h, d}));
  if (biased) {
    c.inputs.push_back(vector("gate_bias", h));
    c.inputs.push_back(vector("down_bias", d));
    if (gated) c.inputs.push_back(vector("up_bias", h));
  }
  c.apply = [=](Tape& tape, Inputs in) {
    FfnWeights w{.activation = activation_kind, .gate = in[1], .down = in[2]};
    size_t next = 3;
    if (gated) w.up = in[next++];
    if (biased) {
      w.gate_bias = in[next++];
      w.down_bias = in[next++];
      if (gated) w.up_bias = in[next++];
    }
    return std::vector{ops::ffn(tape, in[0], w)};
  };
  return c;
}

}  // namespace

void ffn(Size size, Add add) {
  if (size == Size::lab) {
    add(ffn_case("gated", Activation::silu, {Lab::tokens, Lab::d}, 2 * Lab::hidden, true, false));
    add(ffn_case("gelu_bias", Activation::gelu_tanh, {Lab::tokens, Lab::d}, 2 * Lab::hidden, false, true));
    return;
  }
  if (size == Size::model || size == Size::model_sample) {
    for (const auto& [d, h] : {std::pair<int64_t, int64_t>{128, 352}, {256, 672}, {512, 2048}})
      add(ffn_case("gated_d" + std::to_string(d) + "_h" + std::to_string(h), Activation::silu, {size == Size::model ? 8192 : 256, d}, h, true, false));
    return;
  }
  const std::pair<Activation, const char*> activations[] = {
      {Activation::silu, "silu"},           {Activation::gelu, "gelu"},         {Activation::gelu_tanh, "gelu_tanh"},         {Activation::relu, "relu"},
      {Activation::relu2, "relu2"},         {Activation::identity, "identity"}, {Activation::quick_gelu, "quick_gelu"},       {Activation::tanh, "tanh"},
      {Activation::sigmoid, "sigmoid"},     {Activation::mish, "mish"},         {Activation::leaky_relu, "leaky_relu"},       {Activation::relu6, "relu6"},
      {Activation::hardswish, "hardswish"}, {Activation::laplace, "laplace"},   {Activation::sqrt_softplus, "sqrt_softplus"}, {Activation::gelu_10, "gelu_10"}};
  for (const auto& [kind, name] : activations) {
    add(ffn_case(std::string(name) + "_gated", kind, {2, 3, 6}, 9, true, false));
    add(ffn_case(std::string(name) + "_plain", kind, {5, 7}, 4, false, true));
  }
  add(ffn_case("one", Activation::silu, {1, 1}, 1, true, true));
  add(ffn_case("gated_bias", Activation::gelu, {5, 18}, 35, true, true));
  add(ffn_case("plain", Activation::relu2, {4, 3}, 17, false, false));
  add(ffn_case("blocks", Activation::silu, {300, 6}, 8, true, true));
}

}  // namespace gamut::ops::cases
