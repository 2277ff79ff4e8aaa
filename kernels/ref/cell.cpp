#include "kernels/ref/cell.h"

#include <cmath>

namespace gamut::kernels::ref {
namespace {

template <class P> P sigmoid(P x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

template <class T> void cell_forward(const CellForward<T>& a) {
  using P = accumulator<T>;
  const int64_t h = a.hidden, gates = gates_of(a.cell);
  for (int64_t r = 0; r < a.rows; ++r)
    for (int64_t j = 0; j < h; ++j) {
      const auto x = [&](int64_t gate) { return static_cast<P>(a.input[r * a.input_stride + gate * h + j]); };
      const auto u = [&](int64_t gate) { return a.recurrent[r * gates * h + gate * h + j]; };
      P gate[4] = {}, kept = 0, out = 0;
      switch (a.cell) {
        case Cell::tanh: out = gate[0] = std::tanh(x(0) + u(0)); break;
        case Cell::gru:
          for (int64_t g = 0; g < 2; ++g) gate[g] = sigmoid(x(g) + u(g));
          kept = u(2);
          gate[2] = std::tanh(x(2) + gate[0] * kept);
          out = (1 - gate[1]) * gate[2] + gate[1] * static_cast<P>(a.before[r * a.before_stride + j]);
          break;
        case Cell::lstm:
          for (int64_t g = 0; g < 4; ++g) gate[g] = g == 2 ? std::tanh(x(g) + u(g)) : sigmoid(x(g) + u(g));
          kept = a.memory[r * h + j] = gate[1] * a.memory[r * h + j] + gate[0] * gate[2];
          out = gate[3] * std::tanh(kept);
      }
      a.out[r * a.out_stride + j] = static_cast<T>(out);
      if (!a.gates) continue;
      for (int64_t g = 0; g < gates; ++g) a.gates[r * a.gates_stride + g * h + j] = gate[g];
      if (a.cell != Cell::tanh) a.kept[r * a.kept_stride + j] = kept;
    }
}

template <class T> void cell_backward(const CellBackward<T>& b) {
  using P = accumulator<T>;
  const int64_t h = b.hidden, gates = gates_of(b.cell);
  for (int64_t r = 0; r < b.rows; ++r)
    for (int64_t j = 0; j < h; ++j) {
      const auto gate = [&](int64_t g) { return b.gates[r * b.gates_stride + g * h + j]; };
      P dh = static_cast<P>(b.d_out[r * b.d_out_stride + j]) + (b.from_next ? b.from_next[r * h + j] : P(0));
      P d[4] = {}, d_recurrent_n = 0;  // of the gates before their functions
      P& carried = b.carried[r * h + j];
      const P kept = b.cell == Cell::tanh ? P(0) : b.kept[r * b.kept_stride + j], kept_before = b.kept_before ? b.kept_before[r * b.kept_stride + j] : P(0);
      switch (b.cell) {
        case Cell::tanh: d[0] = dh * (1 - gate(0) * gate(0)); break;
        case Cell::gru: {
          dh += carried;
          const P before = b.before ? static_cast<P>(b.before[r * b.before_stride + j]) : P(0);
          d[2] = dh * (1 - gate(1)) * (1 - gate(2) * gate(2));
          d[1] = dh * (before - gate(2)) * gate(1) * (1 - gate(1));
          d[0] = d[2] * kept * gate(0) * (1 - gate(0));
          d_recurrent_n = d[2] * gate(0);
          carried = dh * gate(1);
          break;
        }
        case Cell::lstm: {
          const P c = std::tanh(kept), dc = carried + dh * gate(3) * (1 - c * c);
          d[0] = dc * gate(2) * gate(0) * (1 - gate(0));
          d[1] = dc * kept_before * gate(1) * (1 - gate(1));
          d[2] = dc * gate(0) * (1 - gate(2) * gate(2));
          d[3] = dh * c * gate(3) * (1 - gate(3));
          carried = dc * gate(1);
        }
      }
      for (int64_t g = 0; g < gates; ++g) {
        b.d_input[r * b.d_stride + g * h + j] = static_cast<T>(d[g]);
        if (b.cell == Cell::gru) b.d_recurrent[r * b.d_stride + g * h + j] = static_cast<T>(g == 2 ? d_recurrent_n : d[g]);
      }
    }
}

template void cell_forward(const CellForward<float>&);
template void cell_forward(const CellForward<bf16>&);
template void cell_forward(const CellForward<double>&);
template void cell_backward(const CellBackward<float>&);
template void cell_backward(const CellBackward<bf16>&);
template void cell_backward(const CellBackward<double>&);

}  // namespace gamut::kernels::ref
