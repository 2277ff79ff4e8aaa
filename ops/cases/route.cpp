#include "ops/route.h"

#include "ops/balance.h"
#include "ops/cases/families.h"
#include "ops/ffn.h"

namespace gamut::ops::cases {
namespace {

using kernels::GateNorm;
using kernels::RouterScore;

// What a linear router does: logits, choices, losses.
struct Options {
  SelectOptions select;
  double balance = 0, z = 0, entropy = 0, importance = 0;
  BalanceOptions balancing;
  bool bias = false, linear_bias = false;
};

Routing routed(Tape& tape, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& linear_bias, const Options& o) {
  const Routing r = ops::select(tape, ops::router_logits(tape, x, w, linear_bias), bias, o.select);
  BalanceOptions balancing = o.balancing;
  balancing.unnormalised = o.select.score != RouterScore::softmax;
  if (o.balance != 0) ops::balance_loss(tape, r, o.balance, balancing);
  if (o.z != 0) ops::z_loss(tape, r.logits_NE, o.z);
  if (o.entropy != 0) ops::entropy_loss(tape, r, o.entropy, balancing.unnormalised);
  if (o.importance != 0) ops::importance_loss(tape, r, o.importance, o.importance < 0);
  return r;
}

Case route_case(std::string name, Shape x, int64_t experts, const Options& options) {
  Case c{.name = "route/" + name, .inputs = {activation("x", x), weight("w", {experts, x.width()})}};
  if (options.bias) c.inputs.push_back({.name = "bias", .kind = Kind::constant, .shape = {experts}, .deviation = 0.5});
  if (options.linear_bias) c.inputs.push_back({.name = "linear_bias", .kind = Kind::parameter, .shape = {experts}, .deviation = 0.5});
  c.apply = [=](Tape& tape, Inputs in) {
    const Routing r = routed(tape, in[0], in[1], options.bias ? in[2] : Tensor(), options.linear_bias ? in[options.bias ? 3 : 2] : Tensor(), options);
    return std::vector{r.weight_Nk, r.index_Nk, r.load_E, r.scores_NE};
  };
  return c;
}

// Scores and weights of experts that were chosen elsewhere.
Case chosen_case(std::string name, RouterScore score) {
  return {.name = "route/" + name,
          .inputs = {activation("logits", {4, 5}), ids("index", {4, 2}, {0, 1, 4, 2, 3, 0, 2, 3})},
          .apply =
              [=](Tape& tape, Inputs in) {
                const Routing r = ops::select(tape, in[0], Tensor(), {.score = score, .scale = 1.5, .k = 2}, in[1]);
                return std::vector{r.weight_Nk, r.scores_NE};
              },
          .types = {DType::f32}};
}

Case jitter_case() {
  return {.name = "route/jitter", .inputs = {activation("x", {3, 5})}, .apply = [](Tape& tape, Inputs in) {
            return std::vector{ops::jitter(tape, in[0], 0.3, RandomStream(1, "case"), 7)};
          }};
}

Case routed_moe_case(std::string name, int64_t tokens, int64_t d, int64_t h, int64_t experts, const Options& options) {
  return {.name = "route/" + name,
          .inputs = {activation("x", {tokens, d}), weight("w", {experts, d}), weight("gate", {experts, h, d}), weight("up", {experts, h, d}),
                     weight("down", {experts, d, h})},
          .apply = [=](Tape& tape, Inputs in) {
            const Routing r = routed(tape, in[0], in[1], Tensor(), Tensor(), options);
            return std::vector{ops::moe(tape, in[0], {r.index_Nk, r.weight_Nk}, {.gate = in[2], .up = in[3], .down = in[4]})};
          }};
}

}  // namespace

void route(Size size, Add add) {
  if (size == Size::lab) {
    const Options options{.select = {.k = Lab::k}, .balance = 0.01, .z = 0.001};
    add(route_case("softmax_losses", {Lab::tokens, Lab::d}, Lab::experts, options));
    add(routed_moe_case("moe", Lab::tokens, Lab::d, Lab::hidden, Lab::experts, options));
    return;
  }
  if (size == Size::model || size == Size::model_sample)
    return add(routed_moe_case("moe_top8_of_64_d512_h256", size == Size::model ? 8192 : 256, 512, 256, 64, {.select = {.k = 8}, .balance = 0.01}));
  const std::pair<RouterScore, const char*> scores[] = {
      {RouterScore::softmax, "softmax"}, {RouterScore::sigmoid, "sigmoid"}, {RouterScore::sqrt_softplus, "sqrt_softplus"}};
  for (const auto& [score, word] : scores) {
    const std::string s = word;
    add(route_case(s + "_selected", {7, 5}, 6, {.select = {.score = score}}));
    add(route_case(s + "_plain", {7, 5}, 6, {.select = {.score = score, .norm = GateNorm::none, .k = 3}}));
    add(route_case(s + "_scaled", {2, 4, 5}, 6, {.select = {.score = score, .scale = 2.5}}));
    add(route_case(s + "_bias", {7, 5}, 6, {.select = {.score = score, .norm = GateNorm::none, .scale = 0.5}, .bias = true}));
    add(route_case(s + "_linear_bias", {7, 5}, 6, {.select = {.score = score}, .bias = true, .linear_bias = true}));
    add(route_case(s + "_norm_of_two", {7, 5}, 6, {.select = {.score = score, .scale = 1.5, .power = 2, .k = 3}}));
    add(route_case(s + "_floor", {7, 5}, 6, {.select = {.score = score, .epsilon = 0.1, .floor = score == RouterScore::softmax ? 0.55 : 1.2}}));
    add(route_case(s + "_groups_max", {9, 5}, 8, {.select = {.score = score, .norm = GateNorm::none, .k = 3, .groups = 4, .kept_groups = 2}}));
    add(route_case(s + "_groups_zero", {9, 5}, 8,
                   {.select = {.score = score, .k = 3, .groups = 4, .kept_groups = 2, .group_best = 2, .zero_outside = true}, .bias = true}));
    add(route_case(s + "_groups_sum", {9, 5}, 12,
                   {.select = {.score = score, .scale = 2.5, .k = 4, .groups = 3, .kept_groups = 2, .group_best = 2}, .bias = true}));
    add(route_case(s + "_balance", {9, 5}, 4, {.select = {.score = score}, .balance = 1.5}));
    add(route_case(s + "_losses", {9, 5}, 4, {.select = {.score = score, .norm = GateNorm::none, .k = 1}, .balance = 0.175, .z = 0.075}));
    add(route_case(s + "_bias_losses", {9, 5}, 5, {.select = {.score = score}, .balance = 0.7, .z = 0.3, .bias = true}));
    add(route_case(s + "_first_choices", {9, 5}, 4, {.select = {.score = score}, .balance = 1, .balancing = {.count = BalanceCount::first}}));
    add(route_case(s + "_tokens_counted", {9, 5}, 4, {.select = {.score = score}, .balance = 1, .balancing = {.count = BalanceCount::tokens}}));
    add(route_case(s + "_per_sequence", {3, 4, 5}, 4,
                   {.select = {.score = score}, .balance = 1, .balancing = {.sequence = 4, .unbiased = true}, .bias = true}));
    add(route_case(s + "_devices", {2, 3, 5}, 9,
                   {.select = {.score = score}, .balance = 1, .balancing = {.level = BalanceLevel::device, .devices = 3, .sequence = 3}}));
    add(route_case(s + "_communication", {2, 4, 5}, 6,
                   {.select = {.score = score}, .balance = 1, .balancing = {.level = BalanceLevel::communication, .devices = 3, .reach = 2, .sequence = 4}}));
    add(route_case(s + "_entropy", {9, 5}, 4, {.select = {.score = score}, .entropy = 0.7}));
    add(route_case(s + "_importance", {9, 5}, 4, {.select = {.score = score, .norm = GateNorm::none}, .importance = 0.7}));
    add(chosen_case(s + "_chosen", score));
  }
  add(route_case("importance_sample_variance", {9, 5}, 4, {.importance = -0.7}));
  add(route_case("one", {1, 1}, 1, {.select = {.norm = GateNorm::none, .k = 1}}));
  add(route_case("all", {4, 3}, 3, {.select = {.k = 3}}));
  add(route_case("blocks", {300, 4}, 5, {.balance = 1, .z = 0.1}));
  add(jitter_case());
  add(routed_moe_case("moe", 8, 5, 6, 4, {.balance = 0.5, .z = 0.1}));
  add(routed_moe_case("moe_top1", 8, 5, 6, 4, {.select = {.norm = GateNorm::none, .k = 1}}));
}

}  // namespace gamut::ops::cases
