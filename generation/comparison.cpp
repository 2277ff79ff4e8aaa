#include "generation/comparison.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "generation/score.h"
#include "objectives/objective.h"

namespace gamut {

Example random_example(const Model& model, int64_t rows, int64_t length, uint64_t seed) {
  const auto draw = [&](const char* name) {
    const RandomStream stream(seed, "compare", name);
    std::vector<int32_t> ids(static_cast<size_t>(rows * length));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(stream.below(i, static_cast<uint64_t>(model.spec().vocab)));
    return ids;
  };
  Example e{.rows = rows, .length = length, .ids = draw("ids")};
  if (model.has_encoder()) {
    e.target_length = length;
    e.decoder_ids = draw("decoder ids");
  }
  return e;
}

Agreement compare_results(Model& a, Model& b, const Device& device, const Example& example) {
  const Scores left = score(a, device, example, {}), right = score(b, device, example, {});
  Agreement out;
  for (const auto& [name, x] : left.tensors) {
    const auto y = right.tensors.find(name);
    if (y == right.tensors.end() || y->second.shape() != x.shape())
      throw Error({.who = "compare", .what = "one model gives " + name + " " + x.shape().text() + ", the other does not"});
    const auto value = [](const Tensor& t, int64_t i) { return with_float_type(t.dtype(), [&]<class P>() { return static_cast<double>(t.data<P>()[i]); }); };
    for (int64_t i = 0; i < x.elements(); ++i) {
      const double p = value(x, i), q = value(y->second, i);
      out.largest = std::max(out.largest, std::abs(p));
      out.difference = std::isfinite(p - q) ? std::max(out.difference, std::abs(p - q)) : INFINITY;
      if (std::isinf(out.difference)) return out;
    }
  }
  return out;
}

Measurement measure(Model& model, const Device& device, const Example& example) {
  constexpr int64_t kRows = 4;
  const auto objective = build_objective(model.spec().objective);
  const Example aligned = objective->given(example);
  const double weight = objective->weight(aligned);
  if (weight == 0) throw Error({.who = "measure", .what = "no position bears loss", .hint = "each row needs at least two tokens"});
  Measurement out;
  for (int64_t first = 0; first < aligned.rows; first += kRows) {
    const int64_t rows = std::min(kRows, aligned.rows - first);
    Tape tape(device, Tape::Mode::inference);
    std::vector<RoutingRecord> routing;
    std::vector<RouterChoices> choices;
    const ops::HeadLoss loss = objective->loss(model, {.tape = tape, .routing = &routing, .choices_made = &choices}, aligned.slice(first, rows), 1.0);
    for (int64_t i = 0; i < loss.token_N.elements(); ++i)
      out.loss += with_float_type(loss.token_N.dtype(), [&]<class P>() { return static_cast<double>(loss.token_N.data<P>()[i]); }) / weight;
    append_choices(out.choices, choices);
    out.routing.resize(routing.size());
    for (size_t l = 0; l < routing.size(); ++l) out.routing[l].add(routing[l], static_cast<double>(rows) / static_cast<double>(aligned.rows));
  }
  return out;
}

}  // namespace gamut
