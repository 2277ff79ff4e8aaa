#include "ops/conv.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/activate.h"

namespace gamut::ops {
namespace {

constexpr int64_t kChannels = 64;  // of one task: whole vectors on every tier, a few cache lines of a row

struct Task {
  int64_t row, first, channels;
};
Task task_of(int64_t task, int64_t c) {
  const int64_t parts = (c + kChannels - 1) / kChannels, first = task % parts * kChannels;
  return {task / parts, first, std::min(kChannels, c - first)};
}

template <class T> kernels::ConvForward<T> part_of(const Tensor& x, const ConvWeight& weight, const Task& task) {
  using P = accumulator<T>;
  const int64_t t = x.shape()[1], c = x.shape()[2], w = weight.w_CW.shape()[1];
  return {.tokens = t,
          .channels = task.channels,
          .width = w,
          .stride = c,
          .silu = weight.activation == kernels::Activation::silu,
          .x = x.data<T>() + task.row * t * c + task.first,
          .before = nullptr,
          .w_CW = weight.w_CW.data<P>() + task.first * w,
          .bias_C = weight.bias_C ? weight.bias_C.data<P>() + task.first : nullptr,
          .out = nullptr};
}

// The last W−1 rows of (before, x).
void keep_history(const Tensor& before, const Tensor& x) {
  const int64_t t = x.shape()[1], kept = before.shape()[1];
  const size_t row = static_cast<size_t>(x.shape()[2]) * size_of(x.dtype());
  for (int64_t b = 0; b < x.shape()[0]; ++b) {
    std::byte* to = before.raw() + static_cast<size_t>(b * kept) * row;
    const std::byte* from = x.raw() + static_cast<size_t>(b * t) * row;
    const int64_t old = std::max<int64_t>(0, kept - t), fresh = kept - old;
    std::memmove(to, to + static_cast<size_t>(kept - old) * row, static_cast<size_t>(old) * row);
    std::memcpy(to + static_cast<size_t>(old) * row, from + static_cast<size_t>(t - fresh) * row, static_cast<size_t>(fresh) * row);
  }
}

}  // namespace

Tensor conv(Tape& tape, const Tensor& x, const ConvWeight& weight, const Tensor& before) {
  if (weight.activation != kernels::Activation::silu && weight.activation != kernels::Activation::identity)
    return activate(tape, conv(tape, x, {weight.w_CW, weight.bias_C}, before), weight.activation);
  const auto timing = tape.time("conv");
  if (x.shape().rank() != 3 || weight.w_CW.shape().rank() != 2 || weight.w_CW.shape()[0] != x.width())
    throw Error({.who = "conv", .what = "x " + x.shape().text() + " and w_CW " + weight.w_CW.shape().text() + " do not fit: expected [B, T, C] and [C, W]"});
  const int64_t b = x.shape()[0], c = x.width(), w = weight.w_CW.shape()[1];
  if (w < 1 || w > kernels::kMaxConvWidth) throw Error({.who = "conv", .what = "a width of " + std::to_string(w) + " taps", .hint = "1 to 16 are possible"});
  if (before && before.shape() != Shape{b, w - 1, c}) throw Error({.who = "conv", .what = "history " + before.shape().text() + " does not fit x " + x.shape().text()});
  const Tensor y = tape.output(x.shape(), x.dtype(), {x, weight.w_CW, weight.bias_C});
  const double products = static_cast<double>(2 * w * x.elements());
  tape.count("conv", {.other_flops = products, .bytes = 2 * static_cast<double>(x.bytes())});
  const int64_t tasks = b * ((c + kChannels - 1) / kChannels);
  if (tape.runs()) {
    with_float_type(x.dtype(), [&]<class T>() {
      tape.pool().parallel_for(tasks, [&](int64_t i, int) {
        const Task task = task_of(i, c);
        kernels::ConvForward<T> part = part_of<T>(x, weight, task);
        part.out = y.data<T>() + task.row * x.shape()[1] * c + task.first;
        if (before) part.before = before.data<T>() + task.row * (w - 1) * c + task.first;
        kernels::conv_forward<T>().best().fn(part);
      });
    });
    if (before) keep_history(before, x);
  }
  if (!y.needs_grad()) return y;
  tape.record("conv", [x, weight, dy = y.grad(), b, c, w, tasks, products](Tape& t) {
    const Tensor g = dy->take();
    if (!g) return;
    t.count("conv", {.other_flops = 3 * products, .bytes = 3 * static_cast<double>(x.bytes())});
    const DType p = parameter_dtype(x.dtype());
    const Tensor dx = x.needs_grad() ? t.empty(x.shape(), x.dtype()) : Tensor(), d_w = t.empty({b, c, w}, p), d_bias = t.empty({b, c}, p);
    const Tensor w_sum = t.sum_slot(weight.w_CW.grad()), bias_sum = weight.bias_C ? t.sum_slot(weight.bias_C.grad()) : Tensor();
    if (t.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        using P = accumulator<T>;
        t.pool().parallel_for(tasks, [&](int64_t i, int) {
          const Task task = task_of(i, c);
          const int64_t at = task.row * x.shape()[1] * c + task.first;
          kernels::conv_backward<T>().best().fn({.forward = part_of<T>(x, weight, task), .d_out = g.data<T>() + at, .dx = dx ? dx.data<T>() + at : nullptr,
              .d_w_CW = d_w.data<P>() + (task.row * c + task.first) * w, .d_bias_C = d_bias.data<P>() + task.row * c + task.first});
        });
        // Rows of the batch in order.
        const auto add_rows = [&](const Tensor& from, const Tensor& to) {
          if (to)
            for (int64_t row = 0; row < b; ++row)
              for (int64_t k = 0; k < to.elements(); ++k) to.data<P>()[k] += from.data<P>()[row * to.elements() + k];
        };
        add_rows(d_w, w_sum);
        add_rows(d_bias, bias_sum);
      });
    t.give(x.grad(), dx);
  });
  return y;
}

Tensor shift(Tape& tape, const Tensor& x, const Tensor& before) {
  const DType p = parameter_dtype(x.dtype());
  const Tensor taps = tape.zeros({x.width(), 2}, p);
  if (tape.runs())
    for (int64_t c = 0; c < x.width(); ++c) {
      if (p == DType::f64) taps.data<double>()[2 * c] = 1;
      else taps.data<float>()[2 * c] = 1;
    }
  return conv(tape, x, {taps, Tensor()}, before);
}

}  // namespace gamut::ops
