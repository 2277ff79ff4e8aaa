#include "modules/module.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gamut {
namespace {

constexpr std::array kActivations{std::pair("silu", kernels::Activation::silu),
                                  std::pair("gelu", kernels::Activation::gelu),
                                  std::pair("gelu_tanh", kernels::Activation::gelu_tanh),
                                  std::pair("relu", kernels::Activation::relu),
                                  std::pair("relu2", kernels::Activation::relu2),
                                  std::pair("identity", kernels::Activation::identity),
                                  std::pair("tanh", kernels::Activation::tanh),
                                  std::pair("quick_gelu", kernels::Activation::quick_gelu),
                                  std::pair("sigmoid", kernels::Activation::sigmoid),
                                  std::pair("mish", kernels::Activation::mish),
                                  std::pair("leaky_relu", kernels::Activation::leaky_relu),
                                  std::pair("relu6", kernels::Activation::relu6),
                                  std::pair("laplace", kernels::Activation::laplace),
                                  std::pair("hardswish", kernels::Activation::hardswish),
                                  std::pair("gelu_10", kernels::Activation::gelu_10),
                                  std::pair("sqrt_softplus", kernels::Activation::sqrt_softplus)};

}  // namespace

kernels::Activation activation_option(Config& cfg, const std::string& key, const std::string& fallback) {
  std::vector<std::string> known;
  for (const auto& [name, activation] : kActivations) known.emplace_back(name);
  const std::string name = cfg.take_choice(key, fallback, known);
  return std::find_if(kActivations.begin(), kActivations.end(), [&](const auto& row) { return row.first == name; })->second;
}

Init BuildContext::into_residual() const {
  const size_t layers = spec.layers.size() + spec.encoder.size();
  return Init::normal(spec.init_scaled_residual ? spec.init_std / std::sqrt(2.0 * static_cast<double>(layers)) : spec.init_std);
}

}  // namespace gamut
