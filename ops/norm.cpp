#include "ops/norm.h"

#include "base/error.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

// With several tensors of this size at once, none stays in a cache until the next operation reads it.
bool past_caches(const Tensor& x) { return x.bytes() >= (size_t{16} << 20); }

template <class P> const P* pointer(const Tensor& t) { return t ? t.data<P>() : nullptr; }

template <class T> void forward(Tape& tape, const Tensor& x, const Tensor& y, const NormWeight& norm, AddNorm& r, Tensor& mean, Tensor& inv) {
  using P = accumulator<T>;
  const int64_t d = x.width();
  for_row_blocks(tape, x.rows(), [&](int64_t first, int64_t rows, int) {
    const int64_t at = first * d;
    kernels::norm_forward<T>().best().fn({.kind = norm.kind,
                                          .rows = rows,
                                          .d = d,
                                          .eps = norm.eps,
                                          .x_ND = x.data<T>() + at,
                                          .y_ND = y ? y.data<T>() + at : nullptr,
                                          .gain_D = pointer<P>(norm.gain_D),
                                          .bias_D = pointer<P>(norm.bias_D),
                                          .sum_ND = y ? r.sum.data<T>() + at : nullptr,
                                          .out_ND = r.out.data<T>() + at,
                                          .mean_N = mean ? mean.data<P>() + first : nullptr,
                                          .inv_N = inv.data<P>() + first,
                                          .past_caches = past_caches(x)});
  });
}

template <class T>
void backward(Tape& tape, const NormWeight& norm, const Tensor& sum, const Tensor& mean, const Tensor& inv, const Tensor& d_out,
              const Tensor& d_sum, const Tensor& dx, std::span<const Tensor> weight_grads) {
  using P = accumulator<T>;
  const int64_t d = sum.width();
  sum_over_rows<P>(tape, sum.rows(), weight_grads, [&](int64_t first, int64_t rows, P* const* partial) {
    const int64_t at = first * d;
    kernels::norm_backward<T>().best().fn({.kind = norm.kind,
                                           .rows = rows,
                                           .d = d,
                                           .sum_ND = sum.data<T>() + at,
                                           .gain_D = pointer<P>(norm.gain_D),
                                           .mean_N = mean ? mean.data<P>() + first : nullptr,
                                           .inv_N = inv.data<P>() + first,
                                           .d_out_ND = d_out.data<T>() + at,
                                           .d_sum_ND = d_sum ? d_sum.data<T>() + at : nullptr,
                                           .dx_ND = dx.data<T>() + at,
                                           .d_gain_D = weight_grads.size() > 0 ? partial[0] : nullptr,
                                           .d_bias_D = weight_grads.size() > 1 ? partial[1] : nullptr,
                                           .past_caches = past_caches(sum)});
  });
}

}  // namespace

AddNorm add_norm(Tape& tape, const Tensor& x, const Tensor& y, const NormWeight& norm) {
  const auto timing = tape.time("norm");
  const int64_t d = x.width();
  if (y && y.shape() != x.shape()) throw Error({.who = "add_norm", .what = "x " + x.shape().text() + " and y " + y.shape().text() + " differ"});
  if ((norm.gain_D && norm.gain_D.elements() != d) || (norm.bias_D && norm.bias_D.elements() != d))
    throw Error({.who = "add_norm", .what = "gain or bias does not have the " + std::to_string(d) + " elements of x " + x.shape().text()});
  const DType p = parameter_dtype(x.dtype());
  AddNorm r;
  r.sum = y ? tape.output(x.shape(), x.dtype(), {x, y}) : x;
  r.out = tape.output(x.shape(), x.dtype(), {x, y, norm.gain_D, norm.bias_D});
  Tensor mean = norm.kind == kernels::NormKind::layer ? tape.empty({x.rows()}, p) : Tensor();
  Tensor inv = tape.empty({x.rows()}, p);
  const double n = static_cast<double>(x.elements());
  tape.count("norm", {.other_flops = 5 * n, .bytes = (y ? 4.0 : 2.0) * static_cast<double>(x.bytes())});
  if (tape.runs()) with_float_type(x.dtype(), [&]<class T>() { forward<T>(tape, x, y, norm, r, mean, inv); });

  if (r.out.needs_grad()) {
    tape.record("norm", [norm, x_grad = x.grad(), y_grad = y ? y.grad() : nullptr, sum = r.sum, mean, inv, d_out_cell = r.out.grad(), n](Tape& t) {
      const Tensor d_sum = sum.grad() ? sum.grad()->take() : Tensor();
      const Tensor d_out = d_out_cell->take();
      if (!d_out) {  // only the residual stream was used
        if (!d_sum) return;
        t.give(x_grad, d_sum);
        t.give(y_grad, d_sum);
        return;
      }
      Tensor dx = t.empty(sum.shape(), sum.dtype());
      std::array<Tensor, 2> weight_grads;
      size_t count = 0;
      // The kernel fills gain's sum first: with a frozen gain and a trained bias a throw-away sum takes its place.
      const Tensor d_gain = norm.gain_D ? t.sum_slot(norm.gain_D.grad()) : Tensor();
      const Tensor d_bias = norm.bias_D ? t.sum_slot(norm.bias_D.grad()) : Tensor();
      if (d_gain || d_bias) weight_grads[count++] = d_gain ? d_gain : t.zeros({sum.width()}, parameter_dtype(sum.dtype()));
      if (d_bias) weight_grads[count++] = d_bias;
      t.count("norm", {.other_flops = 9 * n, .bytes = 4 * static_cast<double>(sum.bytes())});
      with_float_type(sum.dtype(), [&]<class T>() {
        backward<T>(t, norm, sum, mean, inv, d_out, d_sum, dx, std::span(weight_grads.data(), count));
      });
      t.give(x_grad, dx);
      t.give(y_grad, dx);
    });
  }
  return r;
}

}  // namespace gamut::ops
