#include "kernels/ref/cross_entropy.h"

#include <algorithm>
#include <cmath>

namespace gamut::kernels::ref {

template <class T> void cross_entropy(const CrossEntropy<T>& a) {
  using P = accumulator<T>;
  for (int64_t n = 0; n < a.rows; ++n) {
    const P* logits_V = a.logits_NV + n * a.vocab;
    P highest = logits_V[0];
    for (int64_t v = 1; v < a.vocab; ++v) highest = std::max(highest, logits_V[v]);
    P sum = 0;
    for (int64_t v = 0; v < a.vocab; ++v) sum += std::exp(logits_V[v] - highest);
    const P lse = highest + std::log(sum);
    if (a.lse_N) a.lse_N[n] = lse;

    const int32_t target = a.target_N[n];
    const P weight = a.weight_N ? a.weight_N[n] : P(1);
    a.loss_N[n] = target < 0 ? P(0) : weight * (lse - logits_V[target]);
    if (!a.d_logits_NV) continue;
    const P scale = target < 0 ? P(0) : weight * a.scale;
    T* d_logits_V = a.d_logits_NV + n * (a.d_stride ? a.d_stride : a.vocab);
    for (int64_t v = 0; v < a.vocab; ++v) {
      const P softmax = std::exp(logits_V[v] - highest) / sum;
      const P d = scale * (softmax * (1 + 2 * a.z * lse) - (v == target ? P(1) : P(0)));
      d_logits_V[v] = static_cast<T>(d);
    }
  }
}

template void cross_entropy(const CrossEntropy<float>&);
template void cross_entropy(const CrossEntropy<bf16>&);
template void cross_entropy(const CrossEntropy<double>&);

}  // namespace gamut::kernels::ref
