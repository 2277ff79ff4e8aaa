#include "ops/attention.h"

#include "ops/cases/families.h"
#include "ops/linear.h"

namespace gamut::ops::cases {
namespace {

using kernels::Sight;

struct Geometry {
  int64_t batch, queries, keys, heads, groups, head_dim, value_dim;
};

Case attention_case(std::string name, const Geometry& g, const Sight& sight, int64_t offset = 0, int64_t used_keys = -1) {
  return {.name = "attention/" + name,
          .inputs = {activation("q", {g.batch, g.queries, g.heads, g.head_dim}), activation("k", {g.batch, g.keys, g.groups, g.head_dim}),
                     activation("v", {g.batch, g.keys, g.groups, g.value_dim})},
          .apply = [=](Tape& tape, Inputs in) {
            return std::vector{ops::attention(tape, in[0], in[1], in[2], sight, 1 / std::sqrt(static_cast<double>(g.head_dim)), offset, used_keys)};
          }};
}

}  // namespace

void attention(Size size, Add add) {
  if (size == Size::lab) {
    const Geometry g{Lab::batch, Lab::length, Lab::length, Lab::heads, Lab::groups, Lab::head_dim, Lab::head_dim};
    add(attention_case("causal", g, {}));
    add(attention_case("causal_window", g, {.window = 32}));
    return;
  }
  if (size == Size::model || size == Size::model_sample) {
    const bool all = size == Size::model;
    for (const int64_t dim : {64, 128})
      for (const int64_t length : {256, 1024, 4096}) {
        const int64_t heads = all ? 512 / dim : 1, tokens = all ? length : std::min<int64_t>(length, 700);
        add(attention_case("T" + std::to_string(length) + "_head" + std::to_string(dim), {all ? 8192 / length : 1, tokens, tokens, heads, heads, dim, dim}, {}));
      }
    return;
  }
  add(attention_case("one", {1, 1, 1, 1, 1, 1, 1}, {}));
  add(attention_case("causal", {2, 5, 5, 2, 2, 4, 4}, {}));
  add(attention_case("grouped", {2, 4, 4, 6, 2, 3, 5}, {}));
  add(attention_case("bidirectional", {1, 5, 7, 2, 1, 4, 3}, {.causal = false}));
  add(attention_case("window", {1, 9, 9, 2, 2, 4, 4}, {.window = 3}));
  add(attention_case("window_both_ways", {1, 6, 6, 2, 1, 4, 4}, {.causal = false, .window = 2}));
  add(attention_case("prefix", {1, 8, 8, 2, 1, 4, 4}, {.prefix = 4}));
  add(attention_case("prefix_window", {1, 8, 8, 2, 1, 4, 4}, {.window = 3, .prefix = 5}));
  add(attention_case("cache", {2, 3, 10, 4, 2, 4, 4}, {}, 5, 8));
  add(attention_case("nothing_visible", {1, 6, 4, 1, 1, 4, 4}, {.window = 2}, 2));
  add(attention_case("long", {1, 70, 70, 2, 1, 8, 8}, {}));
  add(attention_case("long_window", {2, 140, 140, 2, 2, 5, 7}, {.window = 37, .prefix = 9}));
  add({.name = "attention/from_linear",
       .inputs = {activation("x", {2, 5, 6}), weight("wq", {8, 6}), weight("wk", {4, 6}), weight("wv", {4, 6})},
       .apply = [](Tape& tape, Inputs in) {
         const LinearWeight weights[] = {{in[1], Tensor()}, {in[2], Tensor()}, {in[3], Tensor()}};
         const std::vector<Tensor> qkv = ops::linear(tape, in[0], weights);
         return std::vector{ops::attention(tape, qkv[0].reshape({2, 5, 4, 2}), qkv[1].reshape({2, 5, 2, 2}), qkv[2].reshape({2, 5, 2, 2}), Sight{}, 0.7)};
       }});
  // Keys are queries and values, as in a minimal self-attention without projections.
  add({.name = "attention/one_tensor",
       .inputs = {activation("x", {1, 6, 2, 4})},
       .apply = [](Tape& tape, Inputs in) { return std::vector{ops::attention(tape, in[0], in[0], in[0], Sight{}, 0.5)}; }});
}

}  // namespace gamut::ops::cases
