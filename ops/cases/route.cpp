#include "ops/route.h"

#include "ops/cases/families.h"
#include "ops/ffn.h"

namespace gamut::ops::cases {
namespace {

using kernels::GateNorm;
using kernels::RouterScore;

Case route_case(std::string name, Shape x, int64_t experts, const RouteOptions& options, bool bias = false) {
  Case c{.name = "route/" + name, .inputs = {activation("x", x), weight("w", {experts, x.width()})}};
  if (bias) c.inputs.push_back({.name = "bias", .kind = Kind::constant, .shape = {experts}, .deviation = 0.5});
  c.apply = [=](Tape& tape, Inputs in) {
    const Routing r = ops::route(tape, in[0], in[1], bias ? in[2] : Tensor(), options);
    return std::vector{r.weight_Nk, r.index_Nk, r.load_E, r.scores_NE};
  };
  return c;
}

Case routed_moe_case(std::string name, int64_t tokens, int64_t d, int64_t h, int64_t experts, const RouteOptions& options) {
  return {.name = "route/" + name,
          .inputs = {activation("x", {tokens, d}), weight("w", {experts, d}), weight("gate", {experts, h, d}), weight("up", {experts, h, d}), weight("down", {experts, d, h})},
          .apply = [=](Tape& tape, Inputs in) {
            const Routing r = ops::route(tape, in[0], in[1], Tensor(), options);
            return std::vector{ops::moe(tape, in[0], {r.index_Nk, r.weight_Nk}, {.gate = in[2], .up = in[3], .down = in[4]})};
          }};
}

}  // namespace

void route(Size size, Add add) {
  if (size == Size::lab) {
    const RouteOptions options{.k = Lab::k, .balance_loss = 0.01, .z_loss = 0.001};
    add(route_case("softmax_losses", {Lab::tokens, Lab::d}, Lab::experts, options));
    add(routed_moe_case("moe", Lab::tokens, Lab::d, Lab::hidden, Lab::experts, options));
    return;
  }
  if (size != Size::small) return;
  const std::pair<RouterScore, const char*> scores[] = {{RouterScore::softmax, "softmax"}, {RouterScore::sigmoid, "sigmoid"}};
  for (const auto& [score, word] : scores) {
    const std::string s = word;
    add(route_case(s + "_selected", {7, 5}, 6, {.score = score, .k = 2}));
    add(route_case(s + "_plain", {7, 5}, 6, {.score = score, .norm = GateNorm::none, .k = 3}));
    add(route_case(s + "_scaled", {2, 4, 5}, 6, {.score = score, .scale = 2.5, .k = 2}));
    add(route_case(s + "_bias", {7, 5}, 6, {.score = score, .norm = GateNorm::none, .scale = 0.5, .k = 2}, true));
    add(route_case(s + "_balance", {9, 5}, 4, {.score = score, .k = 2, .balance_loss = 1.5}));
    add(route_case(s + "_losses", {9, 5}, 4, {.score = score, .norm = GateNorm::none, .k = 1, .balance_loss = 0.7, .z_loss = 0.3, .loss_scale = 0.25}));
    add(route_case(s + "_bias_losses", {9, 5}, 5, {.score = score, .k = 2, .balance_loss = 0.7, .z_loss = 0.3}, true));
  }
  add(route_case("one", {1, 1}, 1, {.norm = GateNorm::none, .k = 1}));
  add(route_case("all", {4, 3}, 3, {.k = 3}));
  add(route_case("blocks", {300, 4}, 5, {.k = 2, .balance_loss = 1, .z_loss = 0.1}));
  add(routed_moe_case("moe", 8, 5, 6, 4, {.k = 2, .balance_loss = 0.5, .z_loss = 0.1}));
  add(routed_moe_case("moe_top1", 8, 5, 6, 4, {.norm = GateNorm::none, .k = 1}));
}

}  // namespace gamut::ops::cases
