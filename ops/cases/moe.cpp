#include "ops/cases/families.h"
#include "ops/ffn.h"

namespace gamut::ops::cases {
namespace {

using kernels::Activation;

struct Sizes {
  int64_t tokens, d, h, experts, k;
};

// k different experts for every token; `allowed` experts from the first on, the first of them `bias` times likelier.
std::vector<double> choices(const Sizes& s, int64_t allowed, int64_t bias) {
  std::vector<double> out;
  const RandomStream stream(3, "case experts", std::to_string(s.tokens) + " " + std::to_string(allowed));
  uint64_t draw = 0;
  for (int64_t t = 0; t < s.tokens; ++t) {
    const auto begin = static_cast<int64_t>(out.size());
    while (static_cast<int64_t>(out.size()) < begin + s.k) {
      const auto pick = std::max<int64_t>(0, static_cast<int64_t>(stream.below(draw++, static_cast<uint64_t>(allowed + bias))) - bias);
      if (std::find(out.begin() + begin, out.end(), static_cast<double>(pick)) == out.end()) out.push_back(static_cast<double>(pick));
    }
  }
  return out;
}

Case moe_case(std::string name, const Sizes& s, std::vector<double> index, bool gated = true, Activation kind = Activation::silu, int64_t capacity = 0) {
  Case c{.name = "moe/" + name,
         .inputs = {activation("x", {s.tokens, s.d}), ids("index", {s.tokens, s.k}, std::move(index)),
                    {.name = "gates", .kind = Kind::parameter, .shape = {s.tokens, s.k}, .mean = 0.5, .deviation = 0.2},
                    weight("gate", {s.experts, s.h, s.d}), weight("down", {s.experts, s.d, s.h})},
         .data_dependent = capacity > 0};
  if (gated) c.inputs.push_back(weight("up", {s.experts, s.h, s.d}));
  c.apply = [=](Tape& tape, Inputs in) {
    const FfnWeights w{.activation = kind, .gate = in[3], .up = gated ? in[5] : Tensor(), .down = in[4]};
    return std::vector{ops::moe(tape, in[0], {in[1], in[2], capacity}, w)};
  };
  return c;
}

}  // namespace

void moe(Size size, Add add) {
  if (size == Size::lab) {
    const Sizes s{Lab::tokens, Lab::d, Lab::hidden, Lab::experts, Lab::k};
    add(moe_case("top2_of_8", s, choices(s, s.experts, 0)));
    add(moe_case("top2_of_8_skewed", s, choices(s, s.experts, 8)));
    return;
  }
  if (size == Size::model || size == Size::model_sample) {
    const int64_t tokens = size == Size::model ? 8192 : 256;
    for (const Sizes& s : {Sizes{tokens, 128, 352, 8, 1}, Sizes{tokens, 256, 336, 8, 2}, Sizes{tokens, 512, 256, 64, 8}})
      add(moe_case("top" + std::to_string(s.k) + "_of_" + std::to_string(s.experts) + "_d" + std::to_string(s.d) + "_h" + std::to_string(s.h), s, choices(s, s.experts, 0)));
    return;
  }
  add(moe_case("one", {1, 1, 1, 1, 1}, {0}));
  add(moe_case("one_expert", {5, 4, 6, 1, 1}, {0, 0, 0, 0, 0}));
  add(moe_case("top1", {9, 5, 7, 4, 1}, choices({9, 5, 7, 4, 1}, 4, 0)));
  add(moe_case("top2", {9, 6, 3, 5, 2}, choices({9, 6, 3, 5, 2}, 5, 0)));
  add(moe_case("top3_plain", {7, 5, 6, 4, 3}, choices({7, 5, 6, 4, 3}, 4, 0), false, Activation::gelu));
  add(moe_case("all_experts", {4, 3, 5, 3, 3}, choices({4, 3, 5, 3, 3}, 3, 0)));
  add(moe_case("skewed", {20, 4, 5, 6, 2}, choices({20, 4, 5, 6, 2}, 6, 9)));
  add(moe_case("empty_experts", {6, 4, 5, 7, 2}, choices({6, 4, 5, 7, 2}, 2, 0)));
  add(moe_case("capacity_drops", {10, 4, 5, 3, 2}, choices({10, 4, 5, 3, 2}, 3, 4), true, Activation::silu, 4));
  add(moe_case("capacity_drops_all_slots", {6, 3, 4, 2, 1}, {0, 0, 0, 0, 0, 1}, true, Activation::silu, 1));
  add(moe_case("capacity_without_drops", {8, 3, 4, 4, 2}, choices({8, 3, 4, 4, 2}, 4, 0), true, Activation::silu, 8));
  add(moe_case("repeated_expert", {3, 4, 5, 3, 2}, {1, 1, 0, 2, 2, 2}));
  add(moe_case("blocks", {300, 4, 6, 5, 2}, choices({300, 4, 6, 5, 2}, 5, 3)));
}

}  // namespace gamut::ops::cases
