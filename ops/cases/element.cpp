#include "ops/activate.h"
#include "ops/add.h"
#include "ops/cases/families.h"
#include "ops/embedding.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/rows.h"

namespace gamut::ops::cases {
namespace {

using kernels::NormKind;
using kernels::RotaryStyle;

Case norm_case(std::string name, NormKind kind, Shape shape, bool residual, bool gain, bool bias, double eps = 1e-5) {
  Case c{.name = "norm/" + name, .inputs = {activation("x", shape)}};
  if (residual) c.inputs.push_back(activation("y", shape));
  if (gain) c.inputs.push_back(vector("gain", shape.width(), 1));
  if (bias) c.inputs.push_back(vector("bias", shape.width()));
  c.apply = [=](Tape& tape, Inputs in) {
    size_t next = 1;
    const Tensor y = residual ? in[next++] : Tensor();
    NormWeight weight{.kind = kind, .eps = eps};
    if (gain) weight.gain_D = in[next++];
    if (bias) weight.bias_D = in[next++];
    const AddNorm r = add_norm(tape, in[0], y, weight);
    return std::vector<Tensor>{r.sum, r.out};
  };
  return c;
}

Case rotary_case(std::string name, RotaryStyle style, int64_t batch, int64_t length, int64_t heads, int64_t head_dim, int64_t rotary) {
  std::vector<double> positions, cosines, sines;
  for (int64_t i = 0; i < batch * length; ++i) positions.push_back(static_cast<double>(i % length));
  for (int64_t p = 0; p < length; ++p)
    for (int64_t r = 0; r < rotary / 2; ++r) {
      const double angle = static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(r) / static_cast<double>(rotary));
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
  const Shape table{length, rotary / 2};
  return {.name = "rotary/" + name,
          .inputs = {activation("x", {batch, length, heads, head_dim}), ids("position", {batch, length}, positions),
                     {.name = "cos", .kind = Kind::constant, .shape = table, .values = cosines},
                     {.name = "sin", .kind = Kind::constant, .shape = table, .values = sines}},
          .apply = [style](Tape& tape, Inputs in) { return std::vector{ops::rotary(tape, in[0], in[1], in[2], in[3], style)}; }};
}

// The sum with x brings in the type of the rows.
Case embedding_case(std::string name, int64_t n, int64_t v, int64_t d, std::vector<double> tokens, double scale) {
  return {.name = "embedding/" + name,
          .inputs = {ids("ids", {n}, std::move(tokens)), weight("table", {v, d}), activation("x", {n, d})},
          .apply = [scale](Tape& tape, Inputs in) { return std::vector{ops::add(tape, ops::embedding(tape, in[0], in[1], in[2].dtype(), scale), in[2])}; }};
}

Case activate_case(std::string name, kernels::Activation which, Shape shape) {
  return {.name = "activate/" + name, .inputs = {activation("x", shape)}, .apply = [which](Tape& tape, Inputs in) { return std::vector{ops::activate(tape, in[0], which)}; }};
}

Case rows_case(std::string name, Shape shape, std::vector<double> index) {
  const auto n = static_cast<int64_t>(index.size());
  return {.name = "rows/" + name,
          .inputs = {activation("x", shape), ids("index", {n}, std::move(index))},
          .apply = [](Tape& tape, Inputs in) { return std::vector{ops::rows(tape, in[0], in[1])}; }};
}

Case add_case(std::string name, Shape shape) {
  return {.name = "add/" + name,
          .inputs = {activation("a", shape), activation("b", shape)},
          .apply = [](Tape& tape, Inputs in) { return std::vector{ops::add(tape, in[0], in[1])}; }};
}

}  // namespace

void element(Size size, Add add) {
  if (size == Size::lab) {
    add(add_case("residual", {Lab::tokens, Lab::d}));
    add(norm_case("rms_residual", NormKind::rms, {Lab::tokens, Lab::d}, true, true, false));
    add(norm_case("layer_residual", NormKind::layer, {Lab::tokens, Lab::d}, true, true, true));
    add(rotary_case("queries", RotaryStyle::half_split, Lab::batch, Lab::length, Lab::heads, Lab::head_dim, Lab::head_dim));
    add(embedding_case("tokens", Lab::tokens, Lab::vocab, Lab::d, random_ids(Lab::tokens, Lab::vocab, "lab"), 1.0));
    return;
  }
  if (size == Size::model || size == Size::model_sample) {
    for (const int64_t d : {128, 512, 2048})
      for (const auto& [kind, word] : {std::pair(NormKind::rms, "rms"), std::pair(NormKind::layer, "layer")})
        add(norm_case(std::string(word) + "_residual_d" + std::to_string(d), kind, {size == Size::model ? 8192 : 256, d}, true, true, kind == NormKind::layer));
    return;
  }
  add(add_case("one", {1}));
  add(add_case("odd", {2, 3, 5}));
  add(add_case("blocks", {300, 7}));
  add({.name = "add/itself", .inputs = {activation("x", {3, 4})}, .apply = [](Tape& tape, Inputs in) { return std::vector{ops::add(tape, in[0], in[0])}; }});

  add(norm_case("rms_one", NormKind::rms, {1, 1}, false, true, false, 0.5));
  add(norm_case("rms_plain", NormKind::rms, {5, 7}, false, false, false));
  add(norm_case("rms_gain", NormKind::rms, {2, 3, 16}, false, true, false));
  add(norm_case("rms_residual", NormKind::rms, {5, 33}, true, true, false));
  add(norm_case("rms_residual_plain", NormKind::rms, {5, 7}, true, false, false));
  add(norm_case("layer_plain", NormKind::layer, {5, 7}, false, false, false));
  add(norm_case("layer_gain", NormKind::layer, {4, 9}, false, true, false));
  add(norm_case("layer_bias_alone", NormKind::layer, {4, 9}, false, false, true));
  add(norm_case("layer_residual", NormKind::layer, {2, 3, 17}, true, true, true));
  add(norm_case("rms_blocks", NormKind::rms, {700, 5}, true, true, false));
  add(norm_case("layer_blocks", NormKind::layer, {400, 6}, true, true, true));

  add(activate_case("gelu", kernels::Activation::gelu, {3, 5, 7}));
  add(activate_case("tanh_blocks", kernels::Activation::tanh, {300, 5}));
  add(rows_case("firsts", {3, 4, 5}, {0, 4, 8}));
  add(rows_case("repeats", {5, 3}, {4, 1, 4, 4, 0, 1}));

  for (const auto& [style, word] : {std::pair(RotaryStyle::half_split, "half"), std::pair(RotaryStyle::interleaved, "interleaved")}) {
    add(rotary_case(std::string(word) + "_whole", style, 2, 5, 3, 8, 8));
    add(rotary_case(std::string(word) + "_partial", style, 1, 7, 2, 10, 6));
    add(rotary_case(std::string(word) + "_pair", style, 1, 2, 1, 2, 2));
    add(rotary_case(std::string(word) + "_blocks", style, 3, 90, 2, 4, 4));
  }

  add(embedding_case("one", 1, 1, 1, {0}, 1.0));
  add(embedding_case("repeats", 7, 5, 3, {1, 4, 1, 1, 0, 4, 1}, 1.0));
  add(embedding_case("scaled", 6, 4, 9, {3, 3, 0, 2, 3, 0}, 2.5));
  add(embedding_case("blocks", 300, 150, 4, random_ids(300, 150, "blocks"), 1.0));
  // The table also maps to the vocabulary: its gradient gathers from both uses.
  add({.name = "embedding/shared_table",
       .inputs = {ids("ids", {4}, {2, 0, 2, 5}), weight("table", {6, 3}), activation("x", {4, 3})},
       .apply = [](Tape& tape, Inputs in) {
         const Tensor a = ops::embedding(tape, in[0], in[1], in[2].dtype()), b = ops::embedding(tape, in[0], in[1], in[2].dtype(), -0.5);
         return std::vector{ops::add(tape, ops::add(tape, a, in[2]), b)};
       }});
}

}  // namespace gamut::ops::cases
