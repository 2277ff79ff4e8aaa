#include "ops/rowwise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/reduce.h"

namespace gamut::ops {
namespace {

template <class P> void write_as(const Tensor& t, int64_t row, const std::vector<double>& from, bool add) {
  const int64_t width = static_cast<int64_t>(from.size());
  P* to = t.data<P>() + row * width;
  for (int64_t i = 0; i < width; ++i)
    to[i] = static_cast<P>(static_cast<accumulator<P>>((add ? static_cast<double>(to[i]) : 0.0) + from[static_cast<size_t>(i)]));
}

void write_row(const Tensor& t, int64_t row, const std::vector<double>& from, bool add) {
  with_float_type(t.dtype(), [&]<class P>() { write_as<P>(t, row, from, add); });
}

}  // namespace

double value_at(const Tensor& t, int64_t i) {
  return with_float_type(t.dtype(), [&]<class P>() { return static_cast<double>(t.data<P>()[i]); });
}

void read_row(const Tensor& t, int64_t r, double* out) {
  const int64_t width = t.width();
  for (int64_t i = 0; i < width; ++i) out[i] = value_at(t, r * width + i);
}

void add_rows(Tape& t, const Tensor& in, const RowGradient& gradient) {
  const Tensor d_in = t.sum_slot(in.grad());
  if (!d_in || !t.runs()) return;
  const int64_t e = in.width();
  for_row_blocks(t, in.rows(), [&](int64_t first, int64_t rows, int) {
    std::vector<double> from(static_cast<size_t>(e)), d_from(static_cast<size_t>(e));
    for (int64_t r = first; r < first + rows; ++r) {
      read_row(in, r, from.data());
      std::fill(d_from.begin(), d_from.end(), 0.0);
      gradient(r, from.data(), d_from.data());
      write_row(d_in, r, d_from, true);
    }
  });
}

Tensor rowwise(Tape& tape, const char* name, const Tensor& in, int64_t width, RowForward forward, RowBackward backward) {
  const auto timing = tape.time(name);
  const int64_t n = in.rows(), e = in.width();
  const Tensor out = tape.output({n, width}, in.dtype(), {in});
  const Cost cost{.other_flops = 8 * static_cast<double>(n * (e + width)), .bytes = static_cast<double>(in.bytes() + out.bytes())};
  tape.count(name, cost);
  if (tape.runs())
    for_row_blocks(tape, n, [&](int64_t first, int64_t rows, int) {
      std::vector<double> from(static_cast<size_t>(e)), to(static_cast<size_t>(width));
      for (int64_t r = first; r < first + rows; ++r) {
        read_row(in, r, from.data());
        std::fill(to.begin(), to.end(), 0.0);
        forward(r, from.data(), to.data());
        write_row(out, r, to, false);
      }
    });
  if (!out.needs_grad()) return out;
  tape.record(name, [=, backward = std::move(backward), d_out_cell = out.grad()](Tape& t) {
    const Tensor g = d_out_cell->take();
    if (!g) return;
    t.count(name, cost);
    add_rows(t, in, [&](int64_t r, const double* from, double* d_from) {
      std::vector<double> d_to(static_cast<size_t>(width));
      read_row(g, r, d_to.data());
      backward(r, from, d_to.data(), d_from);
    });
  });
  return out;
}

void row_loss(Tape& tape, const char* name, const Tensor& in, double value, RowGradient gradient) {
  const Tensor loss = tape.empty({1}, in.dtype() == DType::bf16 ? DType::f32 : in.dtype());
  if (tape.runs()) write_row(loss, 0, {value}, false);
  tape.add_loss(loss);
  if (!in.needs_grad()) return;
  tape.record(name, [name, in, gradient = std::move(gradient)](Tape& t) {
    t.count(name, {.other_flops = 4 * static_cast<double>(in.elements()), .bytes = 2 * static_cast<double>(in.bytes())});
    add_rows(t, in, gradient);
  });
}

Tensor unit_rows(Tape& tape, const Tensor& x) {
  const int64_t d = x.width();
  const auto length = [d](const double* v) {
    double sum = 0;
    for (int64_t i = 0; i < d; ++i) sum += v[i] * v[i];
    return std::max(std::sqrt(sum), 1e-12);
  };
  return rowwise(
      tape, "router", x, d,
      [d, length](int64_t, const double* v, double* out) {
        const double l = length(v);
        for (int64_t i = 0; i < d; ++i) out[i] = v[i] / l;
      },
      [d, length](int64_t, const double* v, const double* g, double* dv) {
        const double l = length(v);
        double along = 0;
        for (int64_t i = 0; i < d; ++i) along += g[i] * v[i] / l;
        for (int64_t i = 0; i < d; ++i) dv[i] = (g[i] - along * v[i] / l) / l;
      });
}

Tensor times_scalar(Tape& tape, const Tensor& x, const Tensor& scalar, std::function<ValueAndSlope(double)> f) {
  const Tensor out = tape.output(x.shape(), x.dtype(), {x, scalar});
  const Cost cost{.other_flops = static_cast<double>(x.elements()), .bytes = 2 * static_cast<double>(x.bytes())};
  tape.count("router", cost);
  const auto scale = [](const Tensor& from, double by, const Tensor& to) {
    with_float_type(from.dtype(), [&]<class P>() {
      for (int64_t i = 0; i < from.elements(); ++i) to.data<P>()[i] = static_cast<P>(static_cast<accumulator<P>>(by * static_cast<double>(from.data<P>()[i])));
    });
  };
  if (tape.runs()) scale(x, f(value_at(scalar, 0)).value, out);
  if (!out.needs_grad()) return out;
  tape.record("router", [=, cell = out.grad()](Tape& t) {
    const Tensor g = cell->take();
    if (!g) return;
    t.count("router", cost);
    const Tensor dx = t.empty(x.shape(), x.dtype()), d_scalar = t.sum_slot(scalar.grad());
    if (t.runs()) {
      const ValueAndSlope at = f(value_at(scalar, 0));
      scale(g, at.value, dx);
      double sum = 0;
      for (int64_t i = 0; i < x.elements(); ++i) sum += value_at(g, i) * value_at(x, i);
      if (d_scalar) write_row(d_scalar, 0, {sum * at.slope}, true);
    }
    t.give(x.grad(), dx);
  });
  return out;
}

Tensor beside(Tape& tape, const Tensor& a, const Tensor& b) {
  const int64_t n = a.rows();
  const Tensor out = tape.output({n, a.width() + b.width()}, a.dtype(), {a, b});
  const Cost cost{.bytes = 2 * static_cast<double>(out.bytes())};
  tape.count("router", cost);
  // Parts of a row and their bytes.
  const size_t left = static_cast<size_t>(a.width()) * size_of(a.dtype()), right = static_cast<size_t>(b.width()) * size_of(b.dtype());
  if (tape.runs())
    for (int64_t r = 0; r < n; ++r) {
      const auto at = static_cast<size_t>(r);
      std::copy_n(a.raw() + at * left, left, out.raw() + at * (left + right));
      std::copy_n(b.raw() + at * right, right, out.raw() + at * (left + right) + left);
    }
  if (out.needs_grad())
    tape.record("router", [=, a_cell = a.grad(), b_cell = b.grad(), cell = out.grad()](Tape& t) {
      const Tensor g = cell->take();
      if (!g) return;
      t.count("router", cost);
      const Tensor da = t.empty(a.shape(), a.dtype()), db = t.empty(b.shape(), b.dtype());
      if (t.runs())
        for (int64_t r = 0; r < n; ++r) {
          const auto at = static_cast<size_t>(r);
          std::copy_n(g.raw() + at * (left + right), left, da.raw() + at * left);
          std::copy_n(g.raw() + at * (left + right) + left, right, db.raw() + at * right);
        }
      t.give(a_cell, da);
      t.give(b_cell, db);
    });
  return out;
}

}  // namespace gamut::ops
