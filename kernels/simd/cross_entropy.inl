// Cross-entropy: maximum, sum of exponentials, gradient; three sweeps over a row that sits in a cache.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

template <class T> void store1(T* p, float x) { store(p, set1(x), Some{1}); }

}  // namespace

template <class T> void cross_entropy(const CrossEntropy<T>& a) {
  for (int64_t n = 0; n < a.rows; ++n) {
    const float* logits_V = a.logits_NV + n * a.vocab;
    T* d_logits_V = a.d_logits_NV ? a.d_logits_NV + n * (a.d_stride ? a.d_stride : a.vocab) : nullptr;
    const int32_t target = a.target_N[n];
    const auto clear = [&] {
      if (d_logits_V) sweep(a.vocab, [&](int64_t i, auto part) GAMUT_INLINED { store(d_logits_V + i, F{}, part); });
    };
    if (target < 0) a.loss_N[n] = 0;
    if (target < 0 && !a.lse_N) {
      clear();
      continue;
    }
    const F lowest = set1(-__builtin_inff());
    F tops[kBundle], sums[kBundle] = {};
    for (F& top : tops) top = lowest;
    sweep_bundles(a.vocab, [&](int64_t i, auto part) GAMUT_INLINED { raise(tops, keep(load(logits_V + i, part), part, lowest)); });
    const float top = highest(greatest(tops));
    const float shifted = target < 0 ? 0 : logits_V[target] - top;  // before anything may overwrite it
    float* exp_V = a.exp_V;
    if constexpr (sizeof(T) == sizeof(float)) exp_V = d_logits_V;
    if (exp_V && d_logits_V && target >= 0) {
      sweep_bundles(a.vocab, [&](int64_t i, auto part) GAMUT_INLINED {
        const auto e = exp_not_positive(load(logits_V + i, part) - top);
        store(exp_V + i, e, part);
        add_to(sums, keep(e, part));
      });
    } else {
      exp_V = nullptr;
      sweep_bundles(a.vocab, [&](int64_t i, auto part) GAMUT_INLINED { add_to(sums, keep(exp_not_positive(load(logits_V + i, part) - top), part)); });
    }
    const float total = sum(summed(sums)), log_total = __builtin_logf(total), lse = top + log_total;
    if (a.lse_N) a.lse_N[n] = lse;
    if (target < 0) {
      clear();
      continue;
    }

    const float weight = a.weight_N ? a.weight_N[n] : 1.0f, scale = weight * a.scale;
    a.loss_N[n] = weight * (log_total - shifted);
    if (!d_logits_V) continue;
    const float factor = scale * (1 + 2 * a.z * lse) / total;
    if (exp_V)
      sweep_bundles(a.vocab, [&](int64_t i, auto part) GAMUT_INLINED { store(d_logits_V + i, factor * load(exp_V + i, part), part); });
    else
      sweep_bundles(a.vocab,
                    [&](int64_t i, auto part) GAMUT_INLINED { store(d_logits_V + i, factor * exp_not_positive(load(logits_V + i, part) - top), part); });
    store1(d_logits_V + target, factor * exp(set1(shifted))[0] - scale);
  }
}

template void cross_entropy(const CrossEntropy<float>&);
template void cross_entropy(const CrossEntropy<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
