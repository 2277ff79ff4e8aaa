#include "kernels/ref/map.h"

#include <algorithm>
#include <cmath>

namespace gamut::kernels::ref {
namespace {

using std::exp;
using std::tanh;
template <class X> X one() { return X(1); }
template <class X> X sigmoid(X x) { return 1 / (1 + std::exp(-x)); }
template <class X> X softplus(X x) { return std::max(x, X(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class X> X clamp(X x, X low, X high) { return std::min(std::max(x, low), high); }
template <class X> X inside(X x, X low, X high) { return x >= low && x <= high ? X(1) : X(0); }

#define GAMUT_FORMULA inline
#include "kernels/formulas.inl"

}  // namespace

template <class T> void map_forward(const MapForward<T>& a) {
  using P = accumulator<T>;
  const FormulaInputs inputs = inputs_of(a.formula);
  with_formula(a.formula, [&]<Formula kFormula>() {
    for (int64_t i = 0; i < a.rows * a.d; ++i) {
      P in[5] = {};
      for (int k = 0; k < inputs.full; ++k) in[k] = static_cast<P>(a.in_ND[k][i]);
      for (int k = 0; k < inputs.vectors; ++k) in[inputs.full + k] = a.vector_D[k][i % a.d];
      a.out_ND[i] = static_cast<T>(Formulas<kFormula>::of(in, a.c0, a.c1));
    }
  });
}

template <class T> void map_backward(const MapBackward<T>& b) {
  using P = accumulator<T>;
  const MapForward<T>& a = b.forward;
  const FormulaInputs inputs = inputs_of(a.formula);
  with_formula(a.formula, [&]<Formula kFormula>() {
    for (int64_t i = 0; i < a.rows * a.d; ++i) {
      Dual<P, 5> in[5] = {};
      for (int k = 0; k < inputs.full + inputs.vectors; ++k) {
        in[k].value = k < inputs.full ? static_cast<P>(a.in_ND[k][i]) : a.vector_D[k - inputs.full][i % a.d];
        in[k].slope[k] = 1;
      }
      const Dual<P, 5> y = Formulas<kFormula>::of(in, a.c0, a.c1);
      const P d_out = static_cast<P>(b.d_out_ND[i]);
      for (int k = 0; k < inputs.full; ++k)
        if (b.d_in_ND[k]) b.d_in_ND[k][i] = static_cast<T>(d_out * y.slope[k]);
      for (int k = 0; k < inputs.vectors; ++k)
        if (b.d_vector_D[k]) b.d_vector_D[k][i % a.d] += d_out * y.slope[inputs.full + k];
    }
  });
}

template void map_forward(const MapForward<float>&);
template void map_forward(const MapForward<bf16>&);
template void map_forward(const MapForward<double>&);
template void map_backward(const MapBackward<float>&);
template void map_backward(const MapBackward<bf16>&);
template void map_backward(const MapBackward<double>&);

}  // namespace gamut::kernels::ref
