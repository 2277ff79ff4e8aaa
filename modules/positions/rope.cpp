#include "modules/positions/rope.h"

#include <cmath>

namespace gamut {

RopeTable rope_table(Tape& tape, int64_t positions, int64_t rotary, double theta, DType dtype) {
  const int64_t half = rotary / 2;
  RopeTable table{tape.empty({positions, half}, dtype), tape.empty({positions, half}, dtype)};
  if (!tape.runs()) return table;
  with_float_type(dtype, [&]<class P>() {
    if constexpr (!std::is_same_v<P, bf16>)
      tape.pool().parallel_for(positions, [&](int64_t m, int) {
        for (int64_t i = 0; i < half; ++i) {
          // The reference forms frequency and angle in f32; so do we outside the f64 mode.
          const P frequency = P(1) / static_cast<P>(std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(rotary)));
          const P angle = static_cast<P>(m) * frequency;
          table.cos_MR.data<P>()[m * half + i] = std::cos(angle);
          table.sin_MR.data<P>()[m * half + i] = std::sin(angle);
        }
      });
  });
  return table;
}

}  // namespace gamut
