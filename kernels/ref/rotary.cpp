#include "kernels/ref/rotary.h"

namespace gamut::kernels::ref {

template <class T> void rotary(const Rotary<T>& a) {
  using P = accumulator<T>;
  const int64_t pairs = a.rotary / 2;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P* cos_R = a.cos_MR + a.position_N[n] * pairs;
    const P* sin_R = a.sin_MR + a.position_N[n] * pairs;
    for (int64_t head = 0; head < a.heads; ++head) {
      const T* x_K = a.x_NHK + (n * a.heads + head) * a.head_dim;
      T* out_K = a.out_NHK + (n * a.heads + head) * a.head_dim;
      for (int64_t r = 0; r < pairs; ++r) {
        const int64_t first = a.style == RotaryStyle::interleaved ? 2 * r : r;
        const int64_t second = a.style == RotaryStyle::interleaved ? 2 * r + 1 : r + pairs;
        const P x = static_cast<P>(x_K[first]), y = static_cast<P>(x_K[second]);
        const P cos = cos_R[r], sin = a.inverse ? -sin_R[r] : sin_R[r];
        out_K[first] = static_cast<T>(x * cos - y * sin);
        out_K[second] = static_cast<T>(y * cos + x * sin);
      }
      for (int64_t i = 2 * pairs; i < a.head_dim; ++i) out_K[i] = x_K[i];
    }
  }
}

template void rotary(const Rotary<float>&);
template void rotary(const Rotary<bf16>&);
template void rotary(const Rotary<double>&);

}  // namespace gamut::kernels::ref
