#include "kernels/ref/router.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gamut::kernels::ref {
namespace {

bool contains(const int32_t* list, int64_t count, int64_t item) { return std::find(list, list + count, static_cast<int32_t>(item)) != list + count; }

// The `count` largest of rank(0 … n−1), the lowest index first among equals.
template <class Rank> void largest(int64_t n, int64_t count, const Rank& rank, int32_t* index) {
  for (int64_t i = 0; i < count; ++i) {
    int64_t best = -1;
    for (int64_t e = 0; e < n; ++e)
      if (!contains(index, i, e) && (best < 0 || rank(e) > rank(best))) best = e;
    index[i] = static_cast<int32_t>(best);
  }
}

// What weights are divided by, and whether it moves with the scores.
template <class P> struct Divisor {
  P value;
  bool moves;
};

template <class P> Divisor<P> divisor(const Route<P>& a, const P* scores_E, const int32_t* index_k) {
  if (a.norm == GateNorm::none) return {P(1), false};
  P sum = 0;
  for (int64_t i = 0; i < a.k; ++i) sum += a.power == 1 ? scores_E[index_k[i]] : std::pow(scores_E[index_k[i]], a.power);
  if (a.power != 1) sum = std::pow(sum, 1 / a.power);
  return {std::max(sum, a.floor) + a.epsilon, sum >= a.floor};
}

}  // namespace

template <class P> void route(const Route<P>& a) {
  const int64_t each = a.experts / a.groups;
  std::vector<P> group_G(static_cast<size_t>(a.groups));
  std::vector<int32_t> kept(static_cast<size_t>(a.kept_groups)), best(static_cast<size_t>(std::min(a.group_best, each)));
  for (int64_t n = 0; n < a.rows; ++n) {
    const P* logits_E = a.logits_NE + n * a.experts;
    P* scores_E = a.scores_NE + n * a.experts;
    int32_t* index_k = a.index_Nk + n * a.k;
    if (a.score == RouterScore::softmax) {
      const P highest = *std::max_element(logits_E, logits_E + a.experts);
      P sum = 0;
      for (int64_t e = 0; e < a.experts; ++e) sum += scores_E[e] = std::exp(logits_E[e] - highest);
      for (int64_t e = 0; e < a.experts; ++e) scores_E[e] /= sum;
    } else if (a.score == RouterScore::sigmoid) {
      for (int64_t e = 0; e < a.experts; ++e) scores_E[e] = 1 / (1 + std::exp(-logits_E[e]));
    } else {
      for (int64_t e = 0; e < a.experts; ++e) scores_E[e] = std::sqrt(std::max(logits_E[e], P(0)) + std::log1p(std::exp(-std::abs(logits_E[e]))));
    }
    const auto rank = [&](int64_t e) { return a.bias_E ? scores_E[e] + a.bias_E[e] : scores_E[e]; };
    if (!a.chosen && a.groups > 1) {
      for (int64_t g = 0; g < a.groups; ++g) {
        largest(
            each, static_cast<int64_t>(best.size()), [&](int64_t c) { return rank(g * each + c); }, best.data());
        P sum = 0;
        for (const int32_t c : best) sum += rank(g * each + c);
        group_G[static_cast<size_t>(g)] = sum;
      }
      largest(
          a.groups, a.kept_groups, [&](int64_t g) { return group_G[static_cast<size_t>(g)]; }, kept.data());
      std::sort(kept.begin(), kept.end());
      if (a.zero_outside) {
        largest(
            a.experts, a.k, [&](int64_t e) { return contains(kept.data(), a.kept_groups, e / each) ? rank(e) : P(0); }, index_k);
      } else {
        // Within the kept groups alone: candidates in ascending order, so that ties still go to the lowest expert.
        largest(
            a.kept_groups * each, a.k, [&](int64_t c) { return rank(kept[static_cast<size_t>(c / each)] * each + c % each); }, index_k);
        for (int64_t i = 0; i < a.k; ++i) index_k[i] = static_cast<int32_t>(kept[static_cast<size_t>(index_k[i] / each)] * each + index_k[i] % each);
      }
    } else if (!a.chosen) {
      largest(a.experts, a.k, rank, index_k);
    }
    const P z = divisor(a, scores_E, index_k).value;
    for (int64_t i = 0; i < a.k; ++i) a.weight_Nk[n * a.k + i] = scores_E[index_k[i]] / z * a.scale;
  }
}

// Weights w = c·s/Z over the selected, Z = (Σ s^p)^(1/p):  ds = (c·dw − Σ w·dw · (s/Z)^(p−1))/Z.  Where Z does not move: ds = c·dw/Z.
// Then softmax: dh = s·(ds − Σ s·ds);  sigmoid: dh = s·(1−s)·ds;  √softplus: σ(h) = 1 − exp(−s²), dh = σ(h)/(2s)·ds.
template <class P> void route_backward(const RouteBackward<P>& a) {
  const Route<P>& f = a.forward;
  for (int64_t n = 0; n < f.rows; ++n) {
    const P* scores_E = f.scores_NE + n * f.experts;
    const int32_t* index_k = f.index_Nk + n * f.k;
    const auto [z, moves] = divisor(f, scores_E, index_k);
    P shared = 0;
    if (a.d_weight_Nk && moves)
      for (int64_t i = 0; i < f.k; ++i) shared += f.weight_Nk[n * f.k + i] * a.d_weight_Nk[n * f.k + i];

    const auto d_score = [&, z = z](int64_t e) {  // a structured binding is no variable that clang 14 could capture
      P d = a.d_scores_NE ? a.d_scores_NE[n * f.experts + e] : P(0);
      if (a.d_weight_Nk)
        for (int64_t i = 0; i < f.k; ++i)
          if (index_k[i] == e) d += (f.scale * a.d_weight_Nk[n * f.k + i] - (f.power == 1 ? shared : shared * std::pow(scores_E[e] / z, f.power - 1))) / z;
      return d;
    };
    P mean = 0;
    for (int64_t e = 0; e < f.experts; ++e) mean += scores_E[e] * d_score(e);
    for (int64_t e = 0; e < f.experts; ++e) {
      const P s = scores_E[e];
      a.d_logits_NE[n * f.experts + e] += f.score == RouterScore::softmax   ? s * (d_score(e) - mean)
                                          : f.score == RouterScore::sigmoid ? s * (1 - s) * d_score(e)
                                          : s > 0                           ? -std::expm1(-s * s) / (2 * s) * d_score(e)
                                                                            : P(0);
    }
  }
}

template void route(const Route<float>&);
template void route(const Route<double>&);
template void route_backward(const RouteBackward<float>&);
template void route_backward(const RouteBackward<double>&);

}  // namespace gamut::kernels::ref
