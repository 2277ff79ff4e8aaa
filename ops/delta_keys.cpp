#include "ops/delta_keys.h"

#include <cmath>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {

DeltaKeys delta_keys(Tape& tape, const Tensor& k, const Tensor& step, const Tensor& rate_H, const Tensor& beta) {
  const auto timing = tape.time("delta_keys");
  const Shape& s = k.shape();
  if (s.rank() != 4 || step.shape() != s || rate_H.elements() != s[2] || beta.shape() != Shape{s[0], s[1], s[2]})
    throw Error({.who = "delta_keys",
                 .what = "k " + s.text() + ", step " + step.shape().text() + ", rate " + rate_H.shape().text() + " and beta " + beta.shape().text() +
                         " do not fit: expected [B, T, H, K] twice, [H] and [B, T, H]"});
  const DType type = k.dtype(), p = parameter_dtype(type);
  const int64_t heads = s[2], width = s[3], rows = s[0] * s[1];
  const DeltaKeys y{tape.output(s, p, {step, rate_H}), tape.output(s, type, {k, step, rate_H}), tape.output(s, type, {k, beta})};
  const Cost cost{.other_flops = 4 * static_cast<double>(k.elements()), .bytes = 3 * static_cast<double>(k.bytes()) + 2 * static_cast<double>(step.bytes())};
  tape.count("delta_keys", cost);
  if (tape.runs())
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      for_row_blocks(tape, rows, [&](int64_t first, int64_t count, int) {
        for (int64_t h = first * heads; h < (first + count) * heads; ++h) {
          const P rate = std::exp(rate_H.data<P>()[h % heads]), strength = beta.data<P>()[h];
          for (int64_t i = h * width; i < (h + 1) * width; ++i) {
            const P key = static_cast<P>(k.data<T>()[i]), decay = -rate * step.data<P>()[i];
            y.decay.data<P>()[i] = decay;
            y.removed.data<T>()[i] = T(-std::exp(decay) * key);
            y.written.data<T>()[i] = T(strength * key);
          }
        }
      });
    });
  if (!y.decay.needs_grad() && !y.removed.needs_grad() && !y.written.needs_grad()) return y;
  tape.record("delta_keys", [=, d_decay = y.decay.grad(), d_removed = y.removed.grad(), d_written = y.written.grad()](Tape& t) {
    const auto taken = [&](const GradRef& cell) { return cell ? cell->take() : Tensor(); };
    const Tensor g_decay = taken(d_decay), g_removed = taken(d_removed), g_written = taken(d_written);
    if (!g_decay && !g_removed && !g_written) return;
    t.count("delta_keys", {.other_flops = 3 * cost.other_flops, .bytes = 2 * cost.bytes});
    const Tensor dk = t.empty(s, type), d_step = t.empty(s, p), d_beta = t.empty(beta.shape(), p), d_rate = t.sum_slot(rate_H.grad());
    std::vector<Tensor> sums;
    if (d_rate) sums.push_back(d_rate);
    with_float_type(type, [&]<class T>() {
      using P = accumulator<T>;
      sum_over_rows<P>(t, rows, sums, [&](int64_t first, int64_t count, P* const* partial) {
        const auto at = [](const auto& g, const auto* data, int64_t i) { return g ? static_cast<P>(data[i]) : P(0); };
        const P* of_decay = g_decay ? g_decay.data<P>() : nullptr;
        const T *of_removed = g_removed ? g_removed.data<T>() : nullptr, *of_written = g_written ? g_written.data<T>() : nullptr;
        for (int64_t h = first * heads; h < (first + count) * heads; ++h) {
          const P rate = std::exp(rate_H.data<P>()[h % heads]), strength = beta.data<P>()[h];
          P into_rate = 0, into_beta = 0;
          for (int64_t i = h * width; i < (h + 1) * width; ++i) {
            const P key = static_cast<P>(k.data<T>()[i]), decay = -rate * step.data<P>()[i], removed = -std::exp(decay);
            const P by_removed = at(g_removed, of_removed, i), by_written = at(g_written, of_written, i),
                    into_decay = at(g_decay, of_decay, i) + by_removed * removed * key;
            dk.data<T>()[i] = T(by_removed * removed + by_written * strength);
            d_step.data<P>()[i] = -rate * into_decay;
            into_rate += decay * into_decay;
            into_beta += by_written * key;
          }
          d_beta.data<P>()[h] = into_beta;
          if (d_rate) partial[0][h % heads] += into_rate;
        }
      });
    });
    t.give(k.grad(), dk);
    t.give(step.grad(), d_step);
    t.give(beta.grad(), d_beta);
  });
  return y;
}

}  // namespace gamut::ops
