#include "kernels/ref/router.h"

#include <algorithm>
#include <cmath>

namespace gamut::kernels::ref {
namespace {

template <class P> bool selected(const int32_t* index_k, int64_t count, int64_t expert) {
  return std::find(index_k, index_k + count, static_cast<int32_t>(expert)) != index_k + count;
}

template <class P> P divisor(const Route<P>& a, const P* scores_E, const int32_t* index_k) {
  P sum = kGateEpsilon<P>;
  for (int64_t i = 0; i < a.k; ++i) sum += scores_E[index_k[i]];
  return a.norm == GateNorm::selected ? sum : P(1);
}

}  // namespace

template <class P> void route(const Route<P>& a) {
  for (int64_t n = 0; n < a.rows; ++n) {
    const P* logits_E = a.logits_NE + n * a.experts;
    P* scores_E = a.scores_NE + n * a.experts;
    int32_t* index_k = a.index_Nk + n * a.k;
    if (a.score == RouterScore::softmax) {
      const P highest = *std::max_element(logits_E, logits_E + a.experts);
      P sum = 0;
      for (int64_t e = 0; e < a.experts; ++e) sum += scores_E[e] = std::exp(logits_E[e] - highest);
      for (int64_t e = 0; e < a.experts; ++e) scores_E[e] /= sum;
    } else {
      for (int64_t e = 0; e < a.experts; ++e) scores_E[e] = 1 / (1 + std::exp(-logits_E[e]));
    }
    const auto rank = [&](int64_t e) { return a.bias_E ? scores_E[e] + a.bias_E[e] : scores_E[e]; };
    for (int64_t i = 0; i < a.k; ++i) {
      int64_t best = -1;
      for (int64_t e = 0; e < a.experts; ++e)
        if (!selected<P>(index_k, i, e) && (best < 0 || rank(e) > rank(best))) best = e;
      index_k[i] = static_cast<int32_t>(best);
    }
    const P sum = divisor(a, scores_E, index_k);
    for (int64_t i = 0; i < a.k; ++i) a.weight_Nk[n * a.k + i] = scores_E[index_k[i]] / sum * a.scale;
  }
}

// Weights w = c·s/Z over the selected, Z = Σ s:  ds = (c·dw − Σ w·dw)/Z.  Without division: ds = c·dw.
// Then softmax: dh = s·(ds − Σ s·ds);  sigmoid: dh = s·(1−s)·ds.
template <class P> void route_backward(const RouteBackward<P>& a) {
  const Route<P>& f = a.forward;
  for (int64_t n = 0; n < f.rows; ++n) {
    const P* scores_E = f.scores_NE + n * f.experts;
    const int32_t* index_k = f.index_Nk + n * f.k;
    const P sum = divisor(f, scores_E, index_k);
    P shared = 0;
    if (a.d_weight_Nk && f.norm == GateNorm::selected)
      for (int64_t i = 0; i < f.k; ++i) shared += f.weight_Nk[n * f.k + i] * a.d_weight_Nk[n * f.k + i];

    const auto d_score = [&](int64_t e) {
      P d = a.d_scores_NE ? a.d_scores_NE[n * f.experts + e] : P(0);
      if (a.d_weight_Nk)
        for (int64_t i = 0; i < f.k; ++i)
          if (index_k[i] == e) d += (f.scale * a.d_weight_Nk[n * f.k + i] - shared) / sum;
      return d;
    };
    P mean = 0;
    for (int64_t e = 0; e < f.experts; ++e) mean += scores_E[e] * d_score(e);
    for (int64_t e = 0; e < f.experts; ++e) {
      const P s = scores_E[e];
      a.d_logits_NE[n * f.experts + e] += f.score == RouterScore::softmax ? s * (d_score(e) - mean) : s * (1 - s) * d_score(e);
    }
  }
}

template void route(const Route<float>&);
template void route(const Route<double>&);
template void route_backward(const RouteBackward<float>&);
template void route_backward(const RouteBackward<double>&);

}  // namespace gamut::kernels::ref
