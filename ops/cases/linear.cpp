#include "ops/linear.h"

#include "ops/add.h"
#include "ops/cases/families.h"
#include "ops/head_linear.h"
#include "ops/join.h"
#include "ops/norm.h"

namespace gamut::ops::cases {
namespace {

// One weight per width in `outs`; those with a bias are given by `biased`.
Case linear_case(std::string name, Shape x, const std::vector<int64_t>& outs, const std::vector<bool>& biased, std::optional<DType> out_dtype = {}) {
  Case c{.name = "linear/" + name, .inputs = {activation("x", x)}};
  for (size_t i = 0; i < outs.size(); ++i) {
    c.inputs.push_back(weight("w" + std::to_string(i), {outs[i], x.width()}));
    if (biased[i]) c.inputs.push_back(vector("bias" + std::to_string(i), outs[i]));
  }
  c.apply = [=](Tape& tape, Inputs in) {
    std::vector<LinearWeight> weights;
    size_t next = 1;
    for (size_t i = 0; i < outs.size(); ++i) {
      weights.push_back({in[next++], Tensor()});
      if (biased[i]) weights.back().bias_N = in[next++];
    }
    // Results kept in f32 are f64 in the reference.
    return ops::linear(tape, in[0], weights, in[0].dtype() == DType::f64 ? std::optional<DType>() : out_dtype);
  };
  return c;
}

}  // namespace

Case join_case(std::string name, Shape a, Shape b) {
  return {.name = "join/" + name, .inputs = {activation("a", a), activation("b", b)},
          .apply = [](Tape& tape, Inputs in) { return std::vector{join_heads(tape, in[0], in[1])}; }};
}
Case head_linear_case(std::string name, Shape x, Shape w, Side side) {
  // Rows that are cut into heads here, so that their gradient has another shape.
  return {.name = "head_linear/" + name, .inputs = {activation("x", {x[0], x[1], x[2] * x[3]}), weight("w", w)},
          .apply = [side, x](Tape& tape, Inputs in) { return std::vector{head_linear(tape, in[0].reshape(x), in[1], side)}; }};
}

void linear(Size size, Add add) {
  if (size == Size::lab) {
    add(linear_case("qkv", {Lab::tokens, Lab::d}, {Lab::heads * Lab::head_dim, Lab::groups * Lab::head_dim, Lab::groups * Lab::head_dim}, {false, false, false}));
    add(linear_case("out", {Lab::tokens, Lab::d}, {Lab::d}, {false}));
    return;
  }
  if (size != Size::small) return;
  add(linear_case("one", {1, 1}, {1}, {true}));
  add(linear_case("odd", {2, 3, 5}, {7}, {false}));
  add(linear_case("bias", {5, 17}, {19}, {true}));
  add(linear_case("three", {6, 9}, {4, 3, 2}, {true, false, true}));
  add(linear_case("five", {3, 8}, {2, 5, 1, 3, 4}, {false, false, true, false, true}));
  add(linear_case("wide", {4, 70}, {33}, {false}));
  add(linear_case("f32_results", {6, 9}, {4, 3}, {true, false}, DType::f32));
  Case rounded = linear_case("bf16_results", {6, 9}, {4, 3}, {true, false}, DType::bf16);
  rounded.f32_bound = rounded.bf16_bound;  // its results are rounded whatever the inputs are
  add(std::move(rounded));
  add(linear_case("blocks", {300, 6}, {5, 3}, {true, true}));
  add(join_case("heads", {2, 3, 4, 5}, {2, 3, 4, 2}));
  add(join_case("shared_right", {2, 70, 3, 5}, {2, 70, 1, 3}));
  add(join_case("shared_left", {1, 3, 1, 4}, {1, 3, 2, 6}));
  add(join_case("one_head", {2, 3, 1, 4}, {2, 3, 1, 6}));
  add(head_linear_case("forward", {2, 7, 3, 5}, {3, 19, 5}, Side::forward));
  add(head_linear_case("backward", {2, 7, 3, 5}, {3, 5, 18}, Side::backward));
  // One weight both as a whole and head by head, as latent attention uses it.
  add({.name = "head_linear/whole_and_heads", .inputs = {activation("x", {2, 3, 2, 6}), weight("w", {2, 5, 6}), activation("y", {4, 6})},
       .apply = [](Tape& tape, Inputs in) {
         return std::vector{head_linear(tape, in[0], in[1], Side::forward), ops::linear(tape, in[2], {in[1].reshape({10, 6}), Tensor()})};
       }});
  // Only the second result is used further on.
  add({.name = "linear/unused_result",
       .inputs = {activation("x", {4, 5}), weight("w0", {3, 5}), weight("w1", {2, 5}), vector("bias0", 3)},
       .apply = [](Tape& tape, Inputs in) {
         const LinearWeight weights[] = {{in[1], in[3]}, {in[2], Tensor()}};
         return std::vector{ops::linear(tape, in[0], weights)[1]};
       }});
  // A weight that was itself computed, so its gradient arrives in a cell without storage.
  add({.name = "linear/computed_weight",
       .inputs = {activation("x", {4, 5}), {.name = "w", .kind = Kind::parameter, .shape = {3, 5}}, {.name = "delta", .kind = Kind::parameter, .shape = {3, 5}},
                  vector("b", 3), vector("shift", 3)},
       .apply = [](Tape& tape, Inputs in) {
         const LinearWeight both{ops::add(tape, in[1], in[2]), ops::add(tape, in[3], in[4])};
         return std::vector{ops::linear(tape, in[0], both)};
       }});
  // A residual tower: every value is used by several operations, gradients are shared and added in many orders.
  add({.name = "linear/residual_tower",
       .inputs = {activation("x", {5, 6}), weight("w0", {6, 6}), weight("w1", {6, 6}), weight("w2", {6, 6}), vector("gain0", 6, 1), vector("gain1", 6, 1)},
       .apply = [](Tape& tape, Inputs in) {
         const Tensor& x = in[0];
         const Tensor a = ops::linear(tape, x, {in[1], Tensor()});
         const AddNorm first = add_norm(tape, x, a, {.gain_D = in[4]});
         const Tensor b = ops::linear(tape, first.out, {in[2], Tensor()});
         const AddNorm second = add_norm(tape, first.sum, b, {.kind = kernels::NormKind::layer, .gain_D = in[5]});
         const Tensor c = ops::add(tape, second.out, second.sum);
         const AddNorm third = add_norm(tape, c, c, {});  // both branches are one tensor
         const Tensor d = ops::linear(tape, third.sum, {in[3], Tensor()});
         return std::vector{ops::add(tape, d, x), third.sum, ops::add(tape, first.sum, b), ops::norm(tape, x, {}), d};
       },
       .bf16_bound = 5e-2});
}

}  // namespace gamut::ops::cases
