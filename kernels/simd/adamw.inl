// AdamW: four streams in, four out, one pass.
#include "kernels/simd/kernels.h"
#include "kernels/simd/simd.h"

namespace gamut::kernels::GAMUT_TIER {

template <class P> void adamw(const AdamW<P>& a) {
  const float keep_w = 1 - a.lr * a.decay, step = a.lr / a.c1, root_c2 = 1 / __builtin_sqrtf(a.c2);
  const float new_m = 1 - a.beta1, new_v = 1 - a.beta2;
  sweep(a.n, [&](int64_t i, auto part) GAMUT_INLINED {
    const F g = a.clip * load(a.g + i, part);
    const F m = madd(set1(a.beta1), load(a.m + i, part), new_m * g);
    const F v = madd(set1(a.beta2), load(a.v + i, part), new_v * (g * g));
    const F w = keep_w * load(a.w + i, part) - step * m / madd(sqrt(v), set1(root_c2), set1(a.eps));
    store(a.w + i, w, part);
    store(a.m + i, m, part);
    store(a.v + i, v, part);
    store(a.g + i, F{}, part);
  });
}

template void adamw(const AdamW<float>&);

}  // namespace gamut::kernels::GAMUT_TIER
