#include "kernels/ref/adamw.h"

#include <cmath>

namespace gamut::kernels::ref {

template <class P> void adamw(const AdamW<P>& a) {
  for (int64_t i = 0; i < a.n; ++i) {
    const P g = a.clip * a.g[i];
    const P w = a.w[i] * (1 - a.lr * a.decay);
    const P m = a.beta1 * a.m[i] + (1 - a.beta1) * g;
    const P v = a.beta2 * a.v[i] + (1 - a.beta2) * (g * g);
    a.w[i] = w - a.lr / a.c1 * m / (std::sqrt(v) / std::sqrt(a.c2) + a.eps);
    a.m[i] = m;
    a.v[i] = v;
    a.g[i] = 0;
  }
}

template void adamw(const AdamW<float>&);
template void adamw(const AdamW<double>&);

}  // namespace gamut::kernels::ref
