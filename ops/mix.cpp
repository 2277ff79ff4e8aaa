#include "ops/mix.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

struct Sizes {
  int64_t batch, length, slots, d;
};

Cost cost_of(const Sizes& z, size_t element) {
  const double tokens = static_cast<double>(z.batch * z.length), slots = static_cast<double>(z.batch * z.slots), d = static_cast<double>(z.d);
  return {.matmul_flops = 2 * tokens * static_cast<double>(z.slots) * d, .bytes = (tokens + slots) * d * static_cast<double>(element)};
}

// to[slot] = Σ_t w[t, slot]·from[t] of each sequence.
void to_slots(Tape& tape, const Sizes& z, const Tensor& w, const Tensor& from, const Tensor& to) {
  with_float_type(from.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    tape.pool().parallel_for(z.batch * z.slots, [&](int64_t task, int) {
      const int64_t b = task / z.slots, s = task % z.slots;
      std::vector<P> sum(static_cast<size_t>(z.d));
      for (int64_t t = b * z.length; t < (b + 1) * z.length; ++t) {
        const P weight = w.data<P>()[t * z.slots + s];
        const T* row = from.data<T>() + t * z.d;
        for (int64_t c = 0; c < z.d; ++c) sum[static_cast<size_t>(c)] += weight * static_cast<P>(row[c]);
      }
      for (int64_t c = 0; c < z.d; ++c) to.data<T>()[task * z.d + c] = static_cast<T>(sum[static_cast<size_t>(c)]);
    });
  });
}

// to[t] = Σ_slot w[t, slot]·from[slot].
void to_tokens(Tape& tape, const Sizes& z, const Tensor& w, const Tensor& from, const Tensor& to) {
  with_float_type(from.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    for_row_blocks(tape, z.batch * z.length, [&](int64_t first, int64_t rows, int) {
      std::vector<P> sum(static_cast<size_t>(z.d));
      for (int64_t t = first; t < first + rows; ++t) {
        std::fill(sum.begin(), sum.end(), P(0));
        for (int64_t s = 0; s < z.slots; ++s) {
          const P weight = w.data<P>()[t * z.slots + s];
          const T* row = from.data<T>() + (t / z.length * z.slots + s) * z.d;
          for (int64_t c = 0; c < z.d; ++c) sum[static_cast<size_t>(c)] += weight * static_cast<P>(row[c]);
        }
        for (int64_t c = 0; c < z.d; ++c) to.data<T>()[t * z.d + c] = static_cast<T>(sum[static_cast<size_t>(c)]);
      }
    });
  });
}

// dw[t, slot] = ⟨tokens[t], slots[slot]⟩.
void products(Tape& tape, const Sizes& z, const Tensor& tokens, const Tensor& slots, const Tensor& dw) {
  with_float_type(tokens.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    for_row_blocks(tape, z.batch * z.length, [&](int64_t first, int64_t rows, int) {
      for (int64_t t = first; t < first + rows; ++t)
        for (int64_t s = 0; s < z.slots; ++s) {
          const T *a = tokens.data<T>() + t * z.d, *b = slots.data<T>() + (t / z.length * z.slots + s) * z.d;
          P sum = 0;
          for (int64_t c = 0; c < z.d; ++c) sum += static_cast<P>(a[c]) * static_cast<P>(b[c]);
          dw.data<P>()[t * z.slots + s] = sum;
        }
    });
  });
}

}  // namespace

Tensor softmax_over_rows(Tape& tape, const Tensor& logits, int64_t length) {
  const auto timing = tape.time("router");
  const int64_t n = logits.rows(), s = logits.width();
  if (length < 1 || n % length != 0)
    throw Error({.who = "softmax_over_rows", .what = std::to_string(n) + " rows are no whole number of sequences of " + std::to_string(length)});
  const Tensor p = tape.output({n, s}, logits.dtype(), {logits});
  const Cost cost{.other_flops = 5 * static_cast<double>(n * s), .bytes = 2 * static_cast<double>(logits.bytes())};
  tape.count("router", cost);
  if (tape.runs())
    with_float_type(logits.dtype(), [&]<class P>() {
      if constexpr (!std::is_same_v<P, bf16>)
        tape.pool().parallel_for(n / length, [&](int64_t b, int) {
          for (int64_t c = 0; c < s; ++c) {
            P top = logits.data<P>()[b * length * s + c], sum = 0;
            for (int64_t t = b * length; t < (b + 1) * length; ++t) top = std::max(top, logits.data<P>()[t * s + c]);
            for (int64_t t = b * length; t < (b + 1) * length; ++t) sum += p.data<P>()[t * s + c] = std::exp(logits.data<P>()[t * s + c] - top);
            for (int64_t t = b * length; t < (b + 1) * length; ++t) p.data<P>()[t * s + c] /= sum;
          }
        });
    });
  if (p.needs_grad())
    tape.record("router", [=, cell = p.grad()](Tape& t) {
      const Tensor g = cell->take();
      if (!g) return;
      t.count("router", cost);
      const Tensor d = t.empty({n, s}, logits.dtype());
      if (t.runs())
        with_float_type(logits.dtype(), [&]<class P>() {
          if constexpr (!std::is_same_v<P, bf16>)
            t.pool().parallel_for(n / length, [&](int64_t b, int) {
              for (int64_t c = 0; c < s; ++c) {
                P mean = 0;
                for (int64_t r = b * length; r < (b + 1) * length; ++r) mean += p.data<P>()[r * s + c] * g.data<P>()[r * s + c];
                for (int64_t r = b * length; r < (b + 1) * length; ++r) d.data<P>()[r * s + c] = p.data<P>()[r * s + c] * (g.data<P>()[r * s + c] - mean);
              }
            });
        });
      t.give(logits.grad(), d);
    });
  return p;
}

Tensor mix(Tape& tape, const Tensor& w, const Tensor& from, int64_t batch, MixTo to) {
  const auto timing = tape.time("mix");
  const bool slots = to == MixTo::slots;
  const Sizes z{batch, w.rows() / batch, w.width(), from.width()};
  const Tensor out = tape.output({slots ? batch * z.slots : w.rows(), z.d}, from.dtype(), {w, from});
  const Cost cost = cost_of(z, size_of(from.dtype()));
  tape.count("mix", cost);
  if (tape.runs()) (slots ? to_slots : to_tokens)(tape, z, w, from, out);
  if (out.needs_grad())
    tape.record("mix", [=, cell = out.grad()](Tape& t) {
      const Tensor g = cell->take();
      if (!g) return;
      t.count("mix", cost);
      t.count("mix", cost);
      const Tensor d_from = t.empty(from.shape(), from.dtype()), dw = t.empty(w.shape(), w.dtype());
      if (t.runs()) {
        (slots ? to_tokens : to_slots)(t, z, w, g, d_from);
        products(t, z, slots ? from : g, slots ? g : from, dw);
      }
      t.give(from.grad(), d_from);
      t.give(w.grad(), dw);
    });
  return out;
}

}  // namespace gamut::ops
