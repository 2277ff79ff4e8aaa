// The operations' cases, one function per file here.
#pragma once

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "ops/cases.h"

namespace gamut::ops::cases {

using Kind = CaseInput::Kind;
using Inputs = std::span<const Tensor>;

inline CaseInput activation(std::string name, Shape shape, double deviation = 1) { return {std::move(name), Kind::activation, shape, 0, deviation}; }
// A matrix that keeps the size of what it multiplies: deviation 1/√(its width).
inline CaseInput weight(std::string name, Shape shape) {
  return {std::move(name), Kind::parameter, shape, 0, 1 / std::max(1.0, std::sqrt(static_cast<double>(shape.width())))};
}
inline CaseInput vector(std::string name, int64_t n, double mean = 0) { return {std::move(name), Kind::parameter, Shape{n}, mean, 0.3}; }
inline CaseInput ids(std::string name, Shape shape, std::vector<double> values) { return {std::move(name), Kind::ids, shape, 0, 0, std::move(values)}; }
// `count` ids below n, repeats included.
inline std::vector<double> random_ids(int64_t count, int64_t n, std::string_view name) {
  const RandomStream stream(7, "case ids", name);
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<double>(stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(n))));
  return out;
}

// The lab's sizes.
struct Lab {
  static constexpr int64_t batch = 64, length = 128, tokens = batch * length, d = 128, hidden = 176, vocab = 2048, heads = 4, groups = 2, head_dim = 32, experts = 8, k = 2;
};

// `model`: as models have them, too long to compute in f64; `model_sample`: the same with fewer tokens or heads, for checking.
enum class Size : uint8_t { small, lab, model, model_sample };
using Add = const std::function<void(Case)>&;
void element(Size size, Add add);  // add, add_norm, rotary, embedding
void linear(Size size, Add add);
void attention(Size size, Add add);
void ffn(Size size, Add add);
void moe(Size size, Add add);  // with given experts and weights
void route(Size size, Add add);  // routing alone and in front of experts
void cross_entropy(Size size, Add add);
void recurrent(Size size, Add add);  // map, gate, conv, scan, dplr, linear_attention

}  // namespace gamut::ops::cases
