// Elementwise formulas: W elements at a time, slopes by dual numbers that the compiler keeps in registers.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

template <class X> GAMUT_INLINE X one() { return set1(1.0f); }
GAMUT_INLINE F clamp(F x, F low, F high) { return min(max(x, low), high); }
GAMUT_INLINE F inside(F x, F low, F high) { return select((x >= low) & (x <= high), set1(1.0f), F{}); }

#define GAMUT_FORMULA GAMUT_INLINE
#include "kernels/formulas.inl"
#undef GAMUT_FORMULA

template <Formula kFormula, class T> GAMUT_INLINE F input(const MapForward<T>& a, int k, int64_t n, int64_t i, auto part) {
  constexpr int full = inputs_of(kFormula).full;
  return k < full ? load(a.in_ND[k] + n * a.d + i, part) : load(a.vector_D[k - full] + i, part);
}

template <Formula kFormula, class T> void map_forward_rows(const MapForward<T>& a) {
  constexpr int kInputs = inputs_of(kFormula).full + inputs_of(kFormula).vectors;
  const F c0 = set1(a.c0), c1 = set1(a.c1);
  for (int64_t n = 0; n < a.rows; ++n)
    sweep(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      F in[kInputs];
      for (int k = 0; k < kInputs; ++k) in[k] = input<kFormula>(a, k, n, i, part);
      store(a.out_ND + n * a.d + i, Formulas<kFormula>::of(in, c0, c1), part);
    });
}

template <Formula kFormula, class T> void map_backward_rows(const MapBackward<T>& b) {
  constexpr int kFull = inputs_of(kFormula).full, kVectors = inputs_of(kFormula).vectors, kInputs = kFull + kVectors;
  const MapForward<T>& a = b.forward;
  const F c0 = set1(a.c0), c1 = set1(a.c1);
  for (int64_t n = 0; n < a.rows; ++n)
    sweep(a.d, [&](int64_t i, auto part) GAMUT_INLINED {
      Dual<F, kInputs> in[kInputs] = {};
      for (int k = 0; k < kInputs; ++k) {
        in[k].value = input<kFormula>(a, k, n, i, part);
        in[k].slope[k] = set1(1.0f);
      }
      const Dual<F, kInputs> y = Formulas<kFormula>::of(in, c0, c1);
      const F d_out = load(b.d_out_ND + n * a.d + i, part);
      for (int k = 0; k < kFull; ++k)
        if (b.d_in_ND[k]) store(b.d_in_ND[k] + n * a.d + i, d_out * y.slope[k], part);
      for (int k = 0; k < kVectors; ++k)
        if (b.d_vector_D[k]) store(b.d_vector_D[k] + i, madd(d_out, y.slope[kFull + k], load(b.d_vector_D[k] + i, part)), part);
    });
}

}  // namespace

template <class T> void map_forward(const MapForward<T>& a) {
  with_formula(a.formula, [&]<Formula kFormula>() { map_forward_rows<kFormula>(a); });
}
template <class T> void map_backward(const MapBackward<T>& a) {
  with_formula(a.forward.formula, [&]<Formula kFormula>() { map_backward_rows<kFormula>(a); });
}

template void map_forward(const MapForward<float>&);
template void map_forward(const MapForward<bf16>&);
template void map_backward(const MapBackward<float>&);
template void map_backward(const MapBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
