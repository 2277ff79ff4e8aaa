#include "modules/positions/sinusoidal.h"

#include <algorithm>
#include <cmath>

namespace gamut {

Tensor sinusoidal(Tape& tape, const Tensor& ids, int64_t width, int64_t first, int64_t offset, bool t2t, DType dtype) {
  const int64_t length = ids.shape()[1], n = ids.elements();
  const Tensor out = tape.empty({ids.shape()[0], length, width}, dtype);
  if (!tape.runs()) return out;
  const int64_t sines = t2t ? width / 2 : (width + 1) / 2, cosines = width / 2;
  const double step = t2t ? 1.0 / static_cast<double>(std::max<int64_t>(sines - 1, 1)) : 2.0 / static_cast<double>(width);
  with_float_type(dtype, [&]<class T>() {
    using P = accumulator<T>;
    tape.pool().parallel_for(n, [&](int64_t r, int) {
      T* row = out.data<T>() + r * width;
      std::fill_n(row, width, T(P(0)));
      if (t2t && ids.data<int32_t>()[r] == offset - 1) return;
      const auto angle = [&](int64_t i) { return static_cast<double>(first + offset + r % length) * std::pow(10000.0, -step * static_cast<double>(i)); };
      for (int64_t i = 0; i < sines; ++i) row[i] = T(static_cast<P>(std::sin(angle(i))));
      for (int64_t i = 0; i < cosines; ++i) row[sines + i] = T(static_cast<P>(std::cos(angle(i))));
    });
  });
  return out;
}

}  // namespace gamut
