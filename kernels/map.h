// Elementwise formulas of a few inputs. Each formula is written once (kernels/formulas.inl), for plain numbers and vectors of
// every tier alike; its derivatives come from the same text by dual numbers.
//
// Against the definition in double (map_test), before rounding to bf16: 2e-6 relative + 2e-6 for inputs of order 1.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

// Inputs: full ones [N, D] first, then vectors [D] that every row shares; c0, c1 are constants of the call.
enum class Formula : uint8_t {
  tanh,                 // tanh a
  scale,                // c0·a
  softcap,              // c0·tanh(c1·a)
  clip,                 // a between c0 and c1
  sigmoid,              // σ(a)
  log_sigmoid,          // c0·ln σ(a)
  sigmoid_plus,         // σ(a + p)
  times,                // a·b
  minus_times,          // −a·b
  times_vector,         // a·p
  affine,               // a·p + q
  sigmoid_gate,         // a·σ(b)
  scaled_sigmoid_plus,  // c0·σ(a + p)
  softplus_plus,        // clamp(ln(1 + e^(a+p)), c0, c1)
  minus_exp_times,      // −e^p·a
  minus_exp_plus,       // −e^(a + p)
  mix,                  // a + (b − a)·p
  mix_plus,             // a + (b − a)·(c + p)
  mix_sigmoid_plus,     // a + (b − a)·σ(c + p)
  key_scale,            // a·(1 + (b − 1)·p)
};
struct FormulaInputs {
  int full, vectors;
};
[[gnu::always_inline]] constexpr FormulaInputs inputs_of(Formula formula) {
  switch (formula) {
    case Formula::tanh:
    case Formula::scale:
    case Formula::softcap:
    case Formula::clip:
    case Formula::sigmoid:
    case Formula::log_sigmoid:
      return {1, 0};
    case Formula::sigmoid_plus:
    case Formula::times_vector:
    case Formula::scaled_sigmoid_plus:
    case Formula::softplus_plus:
    case Formula::minus_exp_times:
    case Formula::minus_exp_plus:
      return {1, 1};
    case Formula::affine:
      return {1, 2};
    case Formula::times:
    case Formula::minus_times:
    case Formula::sigmoid_gate:
      return {2, 0};
    case Formula::mix:
    case Formula::key_scale:
      return {2, 1};
    case Formula::mix_plus:
    case Formula::mix_sigmoid_plus:
      return {3, 1};
  }
  return {};
}

// T: float, bf16 or double; P = accumulator<T>.
template <class T> struct MapForward {
  using P = accumulator<T>;
  Formula formula;
  P c0, c1;
  int64_t rows, d;
  const T* in_ND[3];
  const P* vector_D[2];
  T* out_ND;
};
template <class T> struct MapBackward {
  using P = accumulator<T>;
  MapForward<T> forward;  // out_ND is not used
  const T* d_out_ND;
  T* d_in_ND[3];          // ? each; overwritten
  P* d_vector_D[2];       // ? each; accumulated (+=) over these rows, in row order
};
template <class T> using MapForwardFn = void (*)(const MapForward<T>&);
template <class T> using MapBackwardFn = void (*)(const MapBackward<T>&);
template <class T> const Candidates<MapForwardFn<T>>& map_forward();
template <class T> const Candidates<MapBackwardFn<T>>& map_backward();

}  // namespace gamut::kernels
