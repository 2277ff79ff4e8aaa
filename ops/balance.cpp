#include "ops/balance.h"

#include <vector>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {

double pooled_balance(Tape& tape, std::span<const LayerScores> layers, const Tensor& counted, double coefficient) {
  const auto timing = tape.time("router");
  const Shape shape = layers[0].scores_NE.shape();
  const int64_t n = shape[0], e = shape[1], k = layers[0].index_Nk.width();
  for (const LayerScores& layer : layers)
    if (layer.scores_NE.shape() != shape || layer.index_Nk.width() != k)
      throw Error({.who = "pooled_balance", .what = "scores " + layer.scores_NE.shape().text() + " and " + shape.text() + " of two layers do not fit together"});
  const DType p = layers[0].scores_NE.dtype();
  const Tensor loss = tape.empty({1}, p);
  tape.count("router", {.other_flops = 2 * static_cast<double>(layers.size()) * static_cast<double>(n * e)});
  std::vector<double> share(static_cast<size_t>(e)), mean(static_cast<size_t>(e));
  double rows = 0, value = 0;
  const uint8_t* counts = tape.runs() && counted ? counted.data<uint8_t>() : nullptr;
  if (tape.runs())
    with_float_type(p, [&]<class P>() {
      for (const LayerScores& layer : layers)
        for (int64_t t = 0; t < n; ++t) {
          if (counts && !counts[t]) continue;
          ++rows;
          for (int64_t i = 0; i < e; ++i) mean[static_cast<size_t>(i)] += static_cast<double>(layer.scores_NE.data<P>()[t * e + i]);
          for (int64_t j = 0; j < k; ++j) ++share[static_cast<size_t>(layer.index_Nk.data<int32_t>()[t * k + j])];
        }
      for (int64_t i = 0; i < e; ++i) {
        share[static_cast<size_t>(i)] /= std::max(rows, 1.0) * static_cast<double>(k);
        mean[static_cast<size_t>(i)] /= std::max(rows, 1.0);
        value += static_cast<double>(e) * share[static_cast<size_t>(i)] * mean[static_cast<size_t>(i)];
      }
      *loss.data<P>() = P(static_cast<accumulator<P>>(coefficient * value));
    });
  if (!tape.training()) return value;
  tape.add_loss(loss);
  std::vector<GradRef> cells;
  for (const LayerScores& layer : layers) cells.push_back(layer.scores_NE.grad());
  // f is a count and has no gradient: ∂/∂score[t,e] = coefficient·E·f_e / rows.
  tape.record("router", [cells = std::move(cells), share = std::move(share), counted, rows, coefficient, n, e, p](Tape& t) {
    const Tensor gradient = t.zeros({n, e}, p);
    if (t.runs())
      with_float_type(p, [&]<class P>() {
        for_row_blocks(t, n, [&](int64_t first, int64_t count, int) {
          for (int64_t r = first; r < first + count; ++r) {
            if (counted && !counted.data<uint8_t>()[r]) continue;
            for (int64_t i = 0; i < e; ++i)
              gradient.data<P>()[r * e + i] = P(static_cast<accumulator<P>>(coefficient * static_cast<double>(e) * share[static_cast<size_t>(i)] / std::max(rows, 1.0)));
          }
        });
      });
    for (const GradRef& cell : cells) t.give(cell, gradient);
  });
  return value;
}

}  // namespace gamut::ops
