#include <algorithm>
#include <cmath>

#include "ops/capacity.h"
#include "ops/cases/families.h"
#include "ops/expert_linear.h"
#include "ops/ffn.h"
#include "ops/mix.h"
#include "ops/rowwise.h"
#include "ops/slots.h"

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

struct Expert {
  bool gated = true;
  Activation activation = Activation::silu;
  bool biased = false;
  double limit = 0, up_shift = 0;
};

// Index −1 among the choices makes costs on shapes alone an upper bound, unless `most_rows` says how many rows there are.
Case moe_case(std::string name, const Sizes& s, std::vector<double> index, const Expert& expert = {}, int64_t most_rows = 0) {
  const bool dropped = std::find(index.begin(), index.end(), -1.0) != index.end();
  Case c{.name = "moe/" + name,
         .inputs = {activation("x", {s.tokens, s.d}),
                    ids("index", {s.tokens, s.k}, std::move(index)),
                    {.name = "gates", .kind = Kind::parameter, .shape = {s.tokens, s.k}, .mean = 0.5, .deviation = 0.2},
                    weight("gate", {s.experts, s.h, s.d}),
                    weight("down", {s.experts, s.d, s.h})},
         .data_dependent = dropped};
  if (expert.gated) c.inputs.push_back(weight("up", {s.experts, s.h, s.d}));
  if (expert.biased) {
    c.inputs.push_back(weight("gate_bias", {s.experts, s.h}));
    c.inputs.push_back(weight("down_bias", {s.experts, s.d}));
    if (expert.gated) c.inputs.push_back(weight("up_bias", {s.experts, s.h}));
  }
  c.apply = [=](Tape& tape, Inputs in) {
    FfnWeights w{.activation = expert.activation, .limit = expert.limit, .up_shift = expert.up_shift, .gate = in[3], .down = in[4]};
    size_t next = 5;
    if (expert.gated) w.up = in[next++];
    if (expert.biased) {
      w.gate_bias = in[next++];
      w.down_bias = in[next++];
      if (expert.gated) w.up_bias = in[next++];
    }
    return std::vector{ops::moe(tape, in[0], {in[1], in[2], most_rows}, w)};
  };
  return c;
}

Case expert_linear_case(std::string name, const Sizes& s, std::vector<double> index) {
  const bool gaps = std::find(index.begin(), index.end(), -1.0) != index.end();
  return {.name = "expert_linear/" + name,
          .inputs = {activation("x", {s.tokens, s.d}), ids("index", {s.tokens, s.k}, std::move(index)), weight("w", {s.experts, s.h, s.d})},
          .apply = [](Tape& tape, Inputs in) { return std::vector{ops::expert_linear(tape, in[0], in[1], in[2])}; },
          .data_dependent = gaps};
}

// Every third slot taken by nobody.
std::vector<double> with_gaps(std::vector<double> index) {
  for (size_t i = 1; i < index.size(); i += 3) index[i] = -1;
  return index;
}

Case capacity_case(std::string name, const Sizes& s, std::vector<double> index, const CapacityOptions& options, double kept_sum = 0) {
  return {.name = "capacity/" + name,
          .inputs = {activation("x", {s.tokens, s.d}),
                     ids("index", {s.tokens, s.k}, std::move(index)),
                     {.name = "gates", .kind = Kind::parameter, .shape = {s.tokens, s.k}, .mean = 0.5, .deviation = 0.2},
                     weight("gate", {s.experts, s.h, s.d}),
                     weight("down", {s.experts, s.d, s.h})},
          .apply =
              [=](Tape& tape, Inputs in) {
                int64_t dropped = 0;
                const Tensor index_Nk = ops::drop(tape, in[1], in[2], s.experts, options, &dropped);
                const Tensor weights = kept_sum > 0 ? ops::renormalised(tape, index_Nk, in[2], 1e-7, kept_sum) : in[2];
                return std::vector{
                    ops::moe(tape, in[0],
                             {index_Nk, weights, s.tokens / std::max<int64_t>(options.group > 0 ? options.group : s.tokens, 1) * options.limit * s.experts},
                             {.gate = in[3], .down = in[4]}),
                    index_Nk};
              },
          .data_dependent = true};
}

Case slots_case(std::string name, Shape x, int64_t k) {
  return {.name = "slots/" + name,
          .inputs = {activation("x", x), {.name = "weights", .kind = Kind::parameter, .shape = {x.rows(), k}}},
          .apply = [=](Tape& tape, Inputs in) {
            const Tensor rows = ops::weighted_copies(tape, in[0], in[1]);
            return std::vector{rows, ops::sum_of_copies(tape, rows, k, x)};
          }};
}

// Unit rows beside others, times e^s.
Case rowwise_case() {
  return {.name = "rowwise/unit_beside_times",
          .inputs = {{.name = "a", .kind = Kind::parameter, .shape = {5, 3}},
                     {.name = "b", .kind = Kind::parameter, .shape = {5, 4}},
                     {.name = "s", .kind = Kind::parameter, .shape = {1}}},
          .apply = [](Tape& tape, Inputs in) {
            return std::vector{ops::times_scalar(tape, ops::beside(tape, ops::unit_rows(tape, in[0]), in[1]), in[2], [](double s) {
              return ValueAndSlope{std::exp(s), std::exp(s)};
            })};
          }};
}

// Tokens to slots and back, over two sequences.
Case mix_case(std::string name, int64_t length, int64_t slots, int64_t d) {
  return {.name = "mix/" + name,
          .inputs = {{.name = "logits", .kind = Kind::parameter, .shape = {2 * length, slots}}, activation("x", {2, length, d})},
          .apply = [=](Tape& tape, Inputs in) {
            const Tensor w = ops::softmax_over_rows(tape, in[0], length), mixed = ops::mix(tape, w, in[1], 2, MixTo::slots);
            return std::vector{w, mixed, ops::mix(tape, in[0], mixed, 2, MixTo::tokens)};
          }};
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
      add(moe_case("top" + std::to_string(s.k) + "_of_" + std::to_string(s.experts) + "_d" + std::to_string(s.d) + "_h" + std::to_string(s.h), s,
                   choices(s, s.experts, 0)));
    return;
  }
  add(expert_linear_case("top2", {9, 6, 3, 5, 2}, choices({9, 6, 3, 5, 2}, 5, 0)));
  add(expert_linear_case("gaps", {10, 4, 5, 3, 2}, with_gaps(choices({10, 4, 5, 3, 2}, 3, 4))));
  add(expert_linear_case("blocks", {300, 4, 6, 5, 1}, choices({300, 4, 6, 5, 1}, 5, 3)));
  add(moe_case("one", {1, 1, 1, 1, 1}, {0}));
  add(moe_case("one_expert", {5, 4, 6, 1, 1}, {0, 0, 0, 0, 0}));
  add(moe_case("top1", {9, 5, 7, 4, 1}, choices({9, 5, 7, 4, 1}, 4, 0)));
  add(moe_case("top2", {9, 6, 3, 5, 2}, choices({9, 6, 3, 5, 2}, 5, 0)));
  add(moe_case("top3_plain", {7, 5, 6, 4, 3}, choices({7, 5, 6, 4, 3}, 4, 0), {.gated = false, .activation = Activation::gelu}));
  add(moe_case("all_experts", {4, 3, 5, 3, 3}, choices({4, 3, 5, 3, 3}, 3, 0)));
  add(moe_case("skewed", {20, 4, 5, 6, 2}, choices({20, 4, 5, 6, 2}, 6, 9)));
  add(moe_case("empty_experts", {6, 4, 5, 7, 2}, choices({6, 4, 5, 7, 2}, 2, 0)));
  add(moe_case("gaps", {10, 4, 5, 3, 2}, with_gaps(choices({10, 4, 5, 3, 2}, 3, 4))));
  add(moe_case("nothing_chosen", {4, 3, 4, 2, 2}, std::vector<double>(8, -1.0)));
  add(moe_case("repeated_expert", {3, 4, 5, 3, 2}, {1, 1, 0, 2, 2, 2}));
  add(moe_case("blocks", {300, 4, 6, 5, 2}, choices({300, 4, 6, 5, 2}, 5, 3)));
  add(moe_case("biases", {9, 6, 3, 5, 2}, choices({9, 6, 3, 5, 2}, 5, 0), {.biased = true}));
  add(moe_case("plain_biases_gaps", {12, 5, 4, 6, 3}, with_gaps(choices({12, 5, 4, 6, 3}, 5, 4)),
               {.gated = false, .activation = Activation::relu2, .biased = true}));
  add(moe_case("biases_blocks", {300, 4, 6, 5, 2}, choices({300, 4, 6, 5, 2}, 5, 3), {.biased = true}));
  add(moe_case("cut_and_shifted", {9, 6, 5, 4, 2}, choices({9, 6, 5, 4, 2}, 4, 0),
               {.activation = Activation::quick_gelu, .biased = true, .limit = 0.7, .up_shift = 1}));
  const Sizes limited{12, 4, 5, 3, 2};
  const std::vector<double> crowded = choices(limited, 3, 4);
  add(capacity_case("position", limited, crowded, {.limit = 4}));
  add(capacity_case("position_choices_first", limited, crowded, {.choices_first = true, .limit = 4}));
  add(capacity_case("probability", limited, crowded, {.rule = DropRule::probability, .limit = 4}));
  add(capacity_case("prioritised_groups", limited, crowded, {.rule = DropRule::prioritised, .limit = 2, .group = 4}));
  add(capacity_case("kept_sum", limited, crowded, {.limit = 4}, 0.8));
  add(capacity_case("nothing_fits", limited, crowded, {.limit = 0}, 1));
  add(capacity_case("everything_fits", limited, crowded, {.limit = 12}));
  add(rowwise_case());
  add(mix_case("small", 5, 3, 4));
  add(mix_case("one", 1, 1, 1));
  add(mix_case("blocks", 150, 2, 3));
  add(slots_case("one_choice", {7, 5}, 1));
  add(slots_case("three_choices", {2, 70, 3}, 3));
}

}  // namespace gamut::ops::cases
