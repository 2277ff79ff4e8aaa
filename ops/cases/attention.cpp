#include "ops/attention.h"

#include "ops/cases/families.h"
#include "ops/linear.h"
#include "ops/relative_bias.h"
#include "ops/sparse_attention.h"

namespace gamut::ops::cases {
namespace {

using kernels::Sight;

struct Geometry {
  int64_t batch, queries, keys, heads, groups, head_dim, value_dim;
};

struct Rows {  // per row of the batch, as far as given
  std::vector<double> keys = {}, first = {}, prefix = {};
};
struct Changes {
  double softcap = 0;
  bool bias = false, sink = false;
};

Case attention_case(std::string name, const Geometry& g, const Sight& sight, int64_t offset = 0, int64_t used_keys = -1, const Rows& rows = {}, const Changes& changes = {}) {
  Case c{.name = "attention/" + name,
         .inputs = {activation("q", {g.batch, g.queries, g.heads, g.head_dim}), activation("k", {g.batch, g.keys, g.groups, g.head_dim}),
                    activation("v", {g.batch, g.keys, g.groups, g.value_dim})},
         .data_dependent = !rows.keys.empty() || !rows.first.empty() || !rows.prefix.empty()};
  const auto input = [&](bool wanted, CaseInput in) {
    if (!wanted) return size_t{0};
    c.inputs.push_back(std::move(in));
    return c.inputs.size() - 1;
  };
  const auto per_row = [&](const char* what, const std::vector<double>& values) { return input(!values.empty(), ids(what, {g.batch}, values)); };
  const size_t keys = per_row("keys", rows.keys), first = per_row("first", rows.first), prefix = per_row("prefix", rows.prefix);
  const Distances d = occurring_distances({.sight = sight}, g.queries, used_keys < 0 ? g.keys : used_keys, offset);
  const size_t bias = input(changes.bias, {"bias", Kind::parameter, {g.heads, d.count() + 2}, 0, 1}), sink = input(changes.sink, vector("sink", g.heads));
  c.apply = [=](Tape& tape, Inputs in) {
    const auto given = [&](size_t at) { return at == 0 ? Tensor() : in[at]; };
    const Visibility visibility{sight, given(keys), given(first), given(prefix)};
    const AttentionScores scores{.scale = 1 / std::sqrt(static_cast<double>(g.head_dim)), .softcap = changes.softcap, .bias = {given(bias), d.low - 1}, .sink_H = given(sink)};
    return std::vector{ops::attention(tape, in[0], in[1], in[2], visibility, scores, offset, used_keys)};
  };
  return c;
}

// Each query sees keys of its own, some fewer than others.
Case sparse_case(std::string name, int64_t b, int64_t t, int64_t keys, int64_t heads, int64_t head_dim, int64_t value_dim, int64_t most) {
  std::vector<double> chosen;
  for (int64_t i = 0; i < b * t; ++i)
    for (int64_t j = 0; j < most; ++j) chosen.push_back(static_cast<double>(j > 0 && j > i % most ? -1 : (i + j * (keys / most)) % keys));
  return {.name = "sparse_attention/" + name,
          .inputs = {activation("q", {b, t, heads, head_dim}), activation("keys", {b, keys, 1, head_dim}), ids("chosen", {b, t, most}, chosen)},
          .apply = [=](Tape& tape, Inputs in) { return std::vector{ops::sparse_attention(tape, in[0], in[1], in[2], value_dim, 1 / std::sqrt(static_cast<double>(head_dim)))}; }};
}

Case relative_case(std::string name, int64_t buckets, int64_t heads, const Distances& d, int64_t most, bool both_ways) {
  return {.name = "relative_bias/" + name,
          .inputs = {{"table", Kind::parameter, {buckets, heads}, 0, 1}},
          .apply = [=](Tape& tape, Inputs in) { return std::vector{ops::relative_bias(tape, in[0], d, most, both_ways).value_HR}; },
          .types = {DType::f32}};
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
  add(sparse_case("one", 1, 1, 1, 1, 1, 1, 1));
  add(sparse_case("few", 2, 3, 9, 3, 7, 4, 4));
  add(sparse_case("parts", 1, 150, 40, 2, 5, 5, 8));
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
  const Geometry four{4, 6, 6, 2, 1, 4, 4}, cross{4, 3, 7, 4, 2, 4, 5};
  add(attention_case("block", {1, 9, 9, 2, 1, 4, 4}, {.block = 3}));
  add(attention_case("chunk", {1, 9, 9, 2, 1, 4, 4}, {.chunk = 4}));
  add(attention_case("padding_right", four, {}, 0, -1, {.keys = {6, 3, 1, 0}}));
  add(attention_case("padding_left", four, {}, 0, -1, {.first = {0, 2, 5, 6}}));
  add(attention_case("padding_both", four, {.causal = false}, 0, -1, {.keys = {6, 5, 4, 2}, .first = {0, 2, 3, 2}}));
  add(attention_case("padding_chunk", four, {.chunk = 2}, 0, -1, {.first = {0, 1, 2, 3}}));
  add(attention_case("prefix_rows", four, {}, 0, -1, {.keys = {6, 6, 6, 3}, .prefix = {0, 3, 6, 2}}));
  add(attention_case("cross", cross, {.causal = false}, 0, -1, {.keys = {7, 4, 1, 0}}));
  add(attention_case("cache_rows", {3, 2, 9, 2, 1, 4, 4}, {}, 5, 7, {.keys = {7, 6, 7}, .first = {0, 0, 3}}));
  add(attention_case("softcap", four, {}, 0, -1, {}, {.softcap = 0.8}));
  add(attention_case("sink", {2, 5, 5, 6, 2, 4, 4}, {.window = 3}, 0, -1, {}, {.sink = true}));
  add(attention_case("bias", {2, 5, 5, 6, 2, 4, 4}, {}, 0, -1, {}, {.bias = true}));
  add(attention_case("bias_both_ways", {2, 70, 70, 2, 2, 4, 4}, {.causal = false}, 0, -1, {}, {.bias = true}));
  add(attention_case("bias_window", {1, 9, 9, 2, 1, 4, 4}, {.window = 3}, 0, -1, {}, {.bias = true}));
  add(attention_case("all_changes", cross, {.causal = false}, 0, -1, {.keys = {7, 4, 1, 0}}, {.softcap = 2, .bias = true, .sink = true}));
  add(attention_case("changes_cache", {2, 3, 9, 2, 2, 4, 4}, {}, 5, 8, {.first = {0, 4}}, {.softcap = 2, .bias = true, .sink = true}));
  add(relative_case("causal", 8, 3, {-40, 0}, 20, false));
  add(relative_case("both_ways", 8, 2, {-9, 30}, 20, true));
  add({.name = "attention/alibi",
       .inputs = {activation("x", {1, 6, 3, 4})},
       .apply = [](Tape& tape, Inputs in) {
         const AttentionScores scores{.scale = 0.5, .bias = alibi(tape, 3, {-5, 0}, parameter_dtype(in[0].dtype()))};
         return std::vector{ops::attention(tape, in[0], in[0], in[0], {}, scores)};
       }});
  add({.name = "attention/from_linear",
       .inputs = {activation("x", {2, 5, 6}), weight("wq", {8, 6}), weight("wk", {4, 6}), weight("wv", {4, 6})},
       .apply = [](Tape& tape, Inputs in) {
         const LinearWeight weights[] = {{in[1], Tensor()}, {in[2], Tensor()}, {in[3], Tensor()}};
         const std::vector<Tensor> qkv = ops::linear(tape, in[0], weights);
         return std::vector{ops::attention(tape, qkv[0].reshape({2, 5, 4, 2}), qkv[1].reshape({2, 5, 2, 2}), qkv[2].reshape({2, 5, 2, 2}), {}, {.scale = 0.7})};
       }});
  // Keys are queries and values, as in a minimal self-attention without projections.
  add({.name = "attention/one_tensor",
       .inputs = {activation("x", {1, 6, 2, 4})},
       .apply = [](Tape& tape, Inputs in) { return std::vector{ops::attention(tape, in[0], in[0], in[0], {}, {.scale = 0.5})}; }});
}

}  // namespace gamut::ops::cases
