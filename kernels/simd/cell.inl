// Recurrent cells: W units of a row at a time. Equations: kernels/cell.h.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

GAMUT_INLINE F slope_of_sigmoid(F y) { return nmadd(y, y, y); }
GAMUT_INLINE F slope_of_tanh(F y) { return nmadd(y, y, set1(1.0f)); }

}  // namespace

template <class T> void cell_forward(const CellForward<T>& a) {
  const int64_t h = a.hidden, gates = gates_of(a.cell);
  for (int64_t r = 0; r < a.rows; ++r) {
    const T* input = a.input + r * a.input_stride;
    const float* recurrent = a.recurrent + r * gates * h;
    sweep(h, [&](int64_t j, auto part) GAMUT_INLINED {
      const auto sum = [&](int64_t gate) GAMUT_INLINED { return load(input + gate * h + j, part) + load(recurrent + gate * h + j, part); };
      const auto keep_gate = [&](int64_t gate, F y) GAMUT_INLINED {
        if (a.gates) store(a.gates + r * a.gates_stride + gate * h + j, y, part);
      };
      const auto keep_other = [&](F y) GAMUT_INLINED {
        if (a.gates) store(a.kept + r * a.kept_stride + j, y, part);
      };
      F out;
      if (a.cell == Cell::lstm) {
        const F i = sigmoid(sum(0)), f = sigmoid(sum(1)), g = tanh(sum(2)), o = sigmoid(sum(3));
        const F c = madd(f, load(a.memory + r * h + j, part), i * g);
        store(a.memory + r * h + j, c, part);
        out = o * tanh(c);
        keep_gate(0, i);
        keep_gate(1, f);
        keep_gate(2, g);
        keep_gate(3, o);
        keep_other(c);
      } else if (a.cell == Cell::gru) {
        const F reset = sigmoid(sum(0)), z = sigmoid(sum(1)), u = load(recurrent + 2 * h + j, part);
        const F n = tanh(madd(reset, u, load(input + 2 * h + j, part)));
        out = madd(z, load(a.before + r * a.before_stride + j, part) - n, n);
        keep_gate(0, reset);
        keep_gate(1, z);
        keep_gate(2, n);
        keep_other(u);
      } else {
        out = tanh(sum(0));
        keep_gate(0, out);
      }
      store(a.out + r * a.out_stride + j, out, part);
    });
  }
}

template <class T> void cell_backward(const CellBackward<T>& b) {
  const int64_t h = b.hidden;
  for (int64_t r = 0; r < b.rows; ++r)
    sweep(h, [&](int64_t j, auto part) GAMUT_INLINED {
      const auto gate = [&](int64_t g) GAMUT_INLINED { return load(b.gates + r * b.gates_stride + g * h + j, part); };
      const auto put = [&](T* to, int64_t g, F d) GAMUT_INLINED { store(to + r * b.d_stride + g * h + j, d, part); };
      F dh = load(b.d_out + r * b.d_out_stride + j, part);
      if (b.from_next) dh += load(b.from_next + r * h + j, part);
      float* carried = b.carried + r * h + j;
      if (b.cell == Cell::lstm) {
        const F i = gate(0), f = gate(1), g = gate(2), o = gate(3), c = tanh(load(b.kept + r * b.kept_stride + j, part));
        const F before = b.kept_before ? load(b.kept_before + r * b.kept_stride + j, part) : F{};
        const F dc = madd(dh * o, slope_of_tanh(c), load(carried, part));
        put(b.d_input, 0, dc * g * slope_of_sigmoid(i));
        put(b.d_input, 1, dc * before * slope_of_sigmoid(f));
        put(b.d_input, 2, dc * i * slope_of_tanh(g));
        put(b.d_input, 3, dh * c * slope_of_sigmoid(o));
        store(carried, dc * f, part);
      } else if (b.cell == Cell::gru) {
        dh += load(carried, part);
        const F reset = gate(0), z = gate(1), n = gate(2), before = b.before ? load(b.before + r * b.before_stride + j, part) : F{};
        const F dn = dh * (1.0f - z) * slope_of_tanh(n), dz = dh * (before - n) * slope_of_sigmoid(z), dr = dn * load(b.kept + r * b.kept_stride + j, part) * slope_of_sigmoid(reset);
        T* const both[] = {b.d_input, b.d_recurrent};
        for (T* to : both) {
          put(to, 0, dr);
          put(to, 1, dz);
        }
        put(b.d_input, 2, dn);
        put(b.d_recurrent, 2, dn * reset);
        store(carried, dh * z, part);
      } else {
        put(b.d_input, 0, dh * slope_of_tanh(gate(0)));
      }
    });
}

template void cell_forward(const CellForward<float>&);
template void cell_forward(const CellForward<bf16>&);
template void cell_backward(const CellBackward<float>&);
template void cell_backward(const CellBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
