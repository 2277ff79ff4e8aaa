#include "ops/rotary.h"

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

template <class T>
void rotate(Tape& tape, const Tensor& x, const Tensor& position, const Tensor& cos, const Tensor& sin, kernels::RotaryStyle style, bool inverse,
            const Tensor& out) {
  using P = accumulator<T>;
  const int64_t heads = x.shape()[-2], k = x.width();
  for_row_blocks(tape, x.rows() / heads, [&](int64_t first, int64_t rows, int) {
    kernels::rotary<T>().best().fn({.style = style, .inverse = inverse, .rows = rows, .heads = heads, .head_dim = k, .rotary = 2 * cos.width(),
        .position_N = position.data<int32_t>() + first, .cos_MR = cos.data<P>(), .sin_MR = sin.data<P>(),
        .x_NHK = x.data<T>() + first * heads * k, .out_NHK = out.data<T>() + first * heads * k});
  });
}

}  // namespace

Tensor rotary(Tape& tape, const Tensor& x, const Tensor& position, const Tensor& cos, const Tensor& sin, kernels::RotaryStyle style) {
  const auto timing = tape.time("rotary");
  if (x.shape().rank() < 3 || position.elements() != x.rows() / x.shape()[-2] || 2 * cos.width() > x.width())
    throw Error({.who = "rotary", .what = "x " + x.shape().text() + ", positions " + position.shape().text() + " and angles " + cos.shape().text() + " do not fit"});
  Tensor y = tape.output(x.shape(), x.dtype(), {x});
  const Cost cost{.other_flops = 3 * static_cast<double>(x.elements()), .bytes = 2 * static_cast<double>(x.bytes())};
  tape.count("rotary", cost);
  if (tape.runs()) with_float_type(x.dtype(), [&]<class T>() { rotate<T>(tape, x, position, cos, sin, style, false, y); });
  if (y.needs_grad())
    tape.record("rotary", [dx = x.grad(), position, cos, sin, style, dy = y.grad(), cost](Tape& t) {
      Tensor g = dy->take();
      if (!g) return;
      Tensor back = g.owners() == 1 ? g : t.empty(g.shape(), g.dtype());  // in place when nobody else reads it
      t.count("rotary", cost);
      if (t.runs()) with_float_type(g.dtype(), [&]<class T>() { rotate<T>(t, g, position, cos, sin, style, true, back); });
      t.give(dx, back);
    });
  return y;
}

}  // namespace gamut::ops
