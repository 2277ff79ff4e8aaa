#include "ops/cases/families.h"
#include "ops/conv.h"
#include "ops/delta_keys.h"
#include "ops/dplr.h"
#include "ops/gate.h"
#include "ops/linear_attention.h"
#include "ops/map.h"
#include "ops/norm.h"
#include "ops/rnn.h"
#include "ops/scan.h"
#include "ops/wkv.h"

namespace gamut::ops::cases {
namespace {

using kernels::Formula;

Case map_case(std::string name, Formula formula, int64_t n, int64_t d, double c0 = 0, double c1 = 0) {
  const kernels::FormulaInputs inputs = kernels::inputs_of(formula);
  Case c{.name = "map/" + name};
  for (int k = 0; k < inputs.full; ++k) c.inputs.push_back(activation("x" + std::to_string(k), {n, d}));
  for (int k = 0; k < inputs.vectors; ++k) c.inputs.push_back(vector("v" + std::to_string(k), d, 0.2));
  c.apply = [=](Tape& tape, Inputs in) {
    switch (10 * inputs.full + inputs.vectors) {
      case 10: return std::vector{map(tape, formula, {in[0]}, {}, c0, c1)};
      case 11: return std::vector{map(tape, formula, {in[0]}, {in[1]}, c0, c1)};
      case 12: return std::vector{map(tape, formula, {in[0]}, {in[1], in[2]}, c0, c1)};
      case 20: return std::vector{map(tape, formula, {in[0], in[1]}, {}, c0, c1)};
      case 21: return std::vector{map(tape, formula, {in[0], in[1]}, {in[2]}, c0, c1)};
      default: return std::vector{map(tape, formula, {in[0], in[1], in[2]}, {in[3]}, c0, c1)};
    }
  };
  return c;
}

Case conv_case(std::string name, int64_t b, int64_t t, int64_t channels, int64_t width, bool bias, kernels::Activation after) {
  Case c{.name = "conv/" + name, .inputs = {activation("x", {b, t, channels}), {"w", Kind::parameter, {channels, width}, 0, 0.5}}};
  if (bias) c.inputs.push_back(vector("bias", channels));
  c.apply = [=](Tape& tape, Inputs in) { return std::vector{conv(tape, in[0], {in[1], bias ? in[2] : Tensor(), after})}; };
  return c;
}

struct LinearCase {
  int64_t b, t, g, h, k, v;
  bool decay = true, beta = true, skip = false, delta = false, constant = false;  // constant: decays of heads alone
};
// Keys and queries of length 1, as the mixers make them; decays by −softplus, writing strengths by σ.
Case linear_attention_case(std::string name, const LinearCase& l) {
  Case c{.name = "linear_attention/" + name,
         .inputs = {activation("q", {l.b, l.t, l.g, l.k}), activation("k", {l.b, l.t, l.g, l.k}), activation("v", {l.b, l.t, l.h, l.v}),
                    {"decay", Kind::parameter, {l.b, l.t, l.h}, -1, 1}, {"beta", Kind::parameter, {l.b, l.t, l.h}}, vector("skip", l.h, 1), {"zero", Kind::constant, {l.h}, 0, 0}, {"slope", Kind::constant, {l.h}, 0.3, 0.05}},
         .apply = [l](Tape& tape, Inputs in) {
           const NormWeight unit{.eps = 1e-6};
           LinearAttention a{.q = norm(tape, in[0], unit), .k = norm(tape, in[1], unit), .v = in[2], .scale = 1 / static_cast<double>(l.k), .delta = l.delta};
           const Tensor gain = tape.zeros({l.k}, in[3].dtype());  // 1/√K
           if (tape.runs())
             with_float_type(gain.dtype(), [&]<class P>() {
               if constexpr (!std::is_same_v<P, bf16>) std::fill_n(gain.data<P>(), l.k, P(1) / std::sqrt(static_cast<P>(l.k)));
             });
           a.k = map(tape, Formula::times_vector, {a.k}, {gain});
           if (l.decay) a.decay = map(tape, Formula::minus_exp_times, {map(tape, Formula::softplus_plus, {in[3]}, {in[6]}, 0, 1e30)}, {in[6]});
           if (l.constant) a.decay = map(tape, Formula::scale, {in[7]}, {}, -1);
           if (l.beta) a.beta = map(tape, Formula::sigmoid, {in[4]});
           if (l.skip) a.skip_H = in[5];
           return std::vector{linear_attention(tape, a)};
         }};
  return c;
}

Case scan_case(std::string name, int64_t b, int64_t t, int64_t e, int64_t n) {
  return {.name = "scan/" + name,
          .inputs = {activation("x", {b, t, e}), {"delta", Kind::parameter, {b, t, e}, -1, 1}, {"b", Kind::parameter, {b, t, n}}, {"c", Kind::parameter, {b, t, n}},
                     {"log_rate", Kind::parameter, {e, n}, 0, 0.5}, vector("skip", e, 1), {"zero", Kind::constant, {e}, 0, 0}},
          .apply = [](Tape& tape, Inputs in) {
            const Tensor delta = map(tape, Formula::softplus_plus, {in[1]}, {in[6]}, 0, 1e30);
            return std::vector{scan(tape, {.x = in[0], .delta = delta, .b = in[2], .c = in[3], .log_rate_EN = in[4], .skip_E = in[5]})};
          }};
}

Case wkv_case(std::string name, int64_t b, int64_t t, int64_t c, double spread = 1) {
  return {.name = "wkv/" + name,
          .inputs = {{"key", Kind::activation, {b, t, c}, 0, spread}, activation("value", {b, t, c}), {"log_rate", Kind::parameter, {c}, -1, 1}, vector("bonus", c, 0.5)},
          .apply = [](Tape& tape, Inputs in) { return std::vector{wkv(tape, {.key = in[0], .value = in[1], .log_rate_C = in[2], .bonus_C = in[3]})}; }};
}

Case dplr_case(std::string name, int64_t b, int64_t t, int64_t h, int64_t k, int64_t v, bool low_rank, bool early = false, double fall = -1) {
  return {.name = "dplr/" + name,
          .inputs = {activation("q", {b, t, h, k}), activation("k", {b, t, h, k}), activation("v", {b, t, h, v}), activation("a", {b, t, h, k}, 1), activation("b", {b, t, h, k}, 1),
                     {"decay", Kind::parameter, {b, t, h, k}, fall, std::max(1.0, fall)}, {"zero", Kind::constant, {k}, 0, 0}},
          .apply = [low_rank, early, k](Tape& tape, Inputs in) {
            Dplr d{.q = in[0], .k = in[1], .v = in[2], .a = Tensor(), .b = Tensor(), .decay = map(tape, Formula::minus_exp_times, {map(tape, Formula::softplus_plus, {in[5]}, {in[6]}, 0, 1e30)}, {in[6]}), .scale = 0.7, .early = early};
            if (low_rank) {  // of length 1/√K each, so that the state stays bounded
              d.a = norm(tape, map(tape, Formula::tanh, {in[3]}), {.eps = 1 + static_cast<double>(k)});
              d.b = norm(tape, map(tape, Formula::tanh, {in[4]}), {.eps = 1 + static_cast<double>(k)});
            }
            return std::vector{dplr(tape, d)};
          }};
}

Case delta_keys_case(std::string name, int64_t b, int64_t t, int64_t h, int64_t k) {
  return {.name = "delta_keys/" + name,
          .inputs = {activation("k", {b, t, h, k}), {"step", Kind::parameter, {b, t, h, k}, 0, 1}, vector("rate", h, 0), {"beta", Kind::parameter, {b, t, h}}},
          .apply = [](Tape& tape, Inputs in) {
            const DeltaKeys y = delta_keys(tape, in[0], in[1], in[2], in[3]);
            return std::vector{y.decay, y.removed, y.written};
          }};
}

Case rnn_case(std::string name, kernels::Cell cell, int64_t b, int64_t t, int64_t h, bool bias) {
  const int64_t wide = kernels::gates_of(cell) * h;
  return {.name = "rnn/" + name,
          .inputs = {activation("input", {b, t, wide}), {"w", Kind::parameter, {wide, h}, 0, 1 / std::sqrt(static_cast<double>(h))}, vector("bias", wide, 0)},
          .apply = [=](Tape& tape, Inputs in) { return std::vector{rnn(tape, {cell, in[0], {in[1], bias ? in[2] : Tensor()}})}; }};
}

}  // namespace

void recurrent(Size size, Add add) {
  if (size == Size::lab) {
    add(conv_case("lab", Lab::batch, Lab::length, 2 * Lab::d, 4, true, kernels::Activation::silu));
    add(scan_case("lab", Lab::batch, Lab::length, 2 * Lab::d, 16));
    add(linear_attention_case("lab", {Lab::batch, Lab::length, Lab::heads, Lab::heads, Lab::head_dim, 2 * Lab::head_dim, true, true, false, true}));
    add(dplr_case("lab", Lab::batch, Lab::length, Lab::heads, Lab::head_dim, Lab::head_dim, true));
    add(dplr_case("lab_gated", Lab::batch, Lab::length, Lab::heads, Lab::head_dim, Lab::head_dim, false));
    add(rnn_case("lab", kernels::Cell::lstm, Lab::batch, Lab::length, Lab::d, true));
    return;
  }
  if (size != Size::small) return;
  const std::pair<const char*, Formula> formulas[] = {
      {"tanh", Formula::tanh}, {"sigmoid", Formula::sigmoid}, {"sigmoid_plus", Formula::sigmoid_plus}, {"times", Formula::times}, {"minus_times", Formula::minus_times}, {"times_vector", Formula::times_vector},
      {"affine", Formula::affine}, {"sigmoid_gate", Formula::sigmoid_gate}, {"minus_exp_times", Formula::minus_exp_times}, {"minus_exp_plus", Formula::minus_exp_plus}, {"mix", Formula::mix}, {"mix_plus", Formula::mix_plus},
      {"mix_sigmoid_plus", Formula::mix_sigmoid_plus}, {"key_scale", Formula::key_scale}};
  for (const auto& [name, formula] : formulas) add(map_case(name, formula, 5, 37));
  add(map_case("scale", Formula::scale, 5, 37, -0.7));
  add(map_case("log_sigmoid", Formula::log_sigmoid, 5, 37, 0.3));
  add(map_case("softcap", Formula::softcap, 5, 37, 1.5, 1 / 1.5));
  add(map_case("clip", Formula::clip, 5, 37, -0.8, 0.8));
  add(map_case("scaled_sigmoid_plus", Formula::scaled_sigmoid_plus, 5, 37, -0.6065307));
  add(map_case("softplus_plus", Formula::softplus_plus, 5, 37, 0, 1e30));
  add(map_case("softplus_clamped", Formula::softplus_plus, 5, 37, 0.3, 1.5));
  add(map_case("blocks", Formula::mix, 300, 19));

  add({.name = "gate/silu", .inputs = {activation("gate", {3, 21}), activation("x", {3, 21})}, .apply = [](Tape& tape, Inputs in) {
         return std::vector{gate(tape, kernels::Activation::silu, in[0], in[1])};
       }});
  add(conv_case("one", 1, 1, 1, 1, false, kernels::Activation::identity));
  add(conv_case("short", 2, 2, 5, 4, true, kernels::Activation::silu));
  add(conv_case("plain", 2, 9, 21, 3, false, kernels::Activation::identity));
  add(conv_case("gelu", 2, 9, 21, 3, false, kernels::Activation::gelu));
  add(conv_case("silu", 1, 13, 70, 4, true, kernels::Activation::silu));

  add(scan_case("one", 1, 1, 1, 1));
  add(scan_case("chunks", 2, 35, 5, 3));
  add(scan_case("wide", 1, 70, 83, 4));

  add(wkv_case("one", 1, 1, 1));
  add(wkv_case("chunks", 2, 67, 5));
  add(wkv_case("wide", 1, 9, 83));
  add(wkv_case("steep", 1, 40, 3, 35));  // weights beyond the largest float

  add(delta_keys_case("one", 1, 1, 1, 1));
  add(delta_keys_case("rows", 2, 70, 3, 5));
  add(dplr_case("one", 1, 1, 1, 1, 1, true));
  add(dplr_case("gated", 2, 17, 2, 5, 3, false));
  add(dplr_case("low_rank", 1, 35, 2, 6, 4, true));
  add(dplr_case("wide", 1, 20, 1, 19, 37, true));
  add(dplr_case("fast", 1, 35, 2, 5, 4, true, false, 25));  // decays from none to e^−50 a token
  add(dplr_case("early", 2, 37, 2, 5, 9, false, true));
  add(dplr_case("early_low_rank", 1, 19, 2, 20, 3, true, true));
  add({.name = "bonus/heads", .inputs = {activation("x", {2, 3, 2, 5}), activation("q", {2, 3, 2, 4}), activation("k", {2, 3, 2, 4}), activation("v", {2, 3, 2, 5}), {"u", Kind::parameter, {2, 4}}},
       .apply = [](Tape& tape, Inputs in) { return std::vector{add_bonus(tape, in[0], in[1], in[2], in[3], in[4])}; }});

  for (const auto& [name, cell] : {std::pair("tanh", kernels::Cell::tanh), std::pair("gru", kernels::Cell::gru), std::pair("lstm", kernels::Cell::lstm)}) {
    add(rnn_case(std::string(name) + "_one", cell, 1, 1, 1, true));
    add(rnn_case(name, cell, 2, 9, 5, false));
    add(rnn_case(std::string(name) + "_rows", cell, 19, 3, 37, true));
  }

  add(linear_attention_case("two", {1, 2, 1, 1, 3, 1}));
  add(linear_attention_case("plain", {2, 7, 2, 2, 5, 3, false, false}));
  add(linear_attention_case("decay", {1, 70, 1, 2, 4, 6, true, false}));
  add(linear_attention_case("constant", {2, 70, 2, 2, 4, 5, false, false, false, false, true}));
  add(linear_attention_case("ssd", {1, 66, 1, 10, 3, 5, true, true, true}));
  add(linear_attention_case("delta", {2, 9, 1, 1, 4, 4, false, true, false, true}));
  add(linear_attention_case("gated_delta", {1, 131, 2, 4, 6, 5, true, true, false, true}));
  add(linear_attention_case("gated_delta_wide", {1, 67, 1, 1, 17, 33, true, true, true, true}));
}

}  // namespace gamut::ops::cases
