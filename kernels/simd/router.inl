// Routing, one row per lane: W rows of E numbers become E vectors and back. What few models have goes to ref.
#include "kernels/ref/router.h"
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr int64_t kMostExperts = 512;  // of the tables on the stack; more go to ref

// `count` ≤ W rows of n numbers as n vectors; lanes without a row are zeros.
GAMUT_INLINE void load_columns(int64_t count, int64_t n, const float* rows, F* columns) {
  sweep(n, [&](int64_t e, auto part) GAMUT_INLINED {
    F x[W];
    for (int r = 0; r < W; ++r) x[r] = r < count ? load(rows + r * n + e, part) : F{};
    transpose(x);
    const int64_t some = n - e < W ? n - e : W;
    for (int64_t i = 0; i < some; ++i) columns[e + i] = x[i];
  });
}
// The way back; with `add`, onto what the rows hold.
GAMUT_INLINE void store_columns(int64_t count, int64_t n, const F* columns, float* rows, bool add = false) {
  sweep(n, [&](int64_t e, auto part) GAMUT_INLINED {
    F x[W];
    for (int i = 0; i < W; ++i) x[i] = e + i < n ? columns[e + i] : F{};
    transpose(x);
    for (int64_t r = 0; r < count; ++r) store(rows + r * n + e, add ? load(rows + r * n + e, part) + x[r] : x[r], part);
  });
}

// Integers in the order of the numbers, so that a maximum takes one instruction and NaN has a place too. None is kTaken.
constexpr int32_t kTaken = INT32_MIN;
GAMUT_INLINE I ordered(F x) {
  const I i = (I)bits(x), order = i ^ ((i >> 31) & 0x7fffffff);
  return order == kTaken ? set1i(kTaken + 1) : order;
}

// Takes the lanes' `last` (−1: none) out of n ranks and gives the index of the largest left, the lowest among equals.
// see(equal, e): lanes whose choice e may be; the last call for a lane is its choice.
template <class See> GAMUT_INLINE I next_largest(int64_t n, I* rank, I last, See see) {
  I best_rank = set1i(kTaken), best{};
  for (int64_t e = 0; e < n; ++e) {
    rank[e] = last == static_cast<int32_t>(e) ? set1i(kTaken) : rank[e];
    best_rank = rank[e] > best_rank ? rank[e] : best_rank;
  }
  for (int64_t e = n - 1; e >= 0; --e) {  // the last to be set is the lowest
    const I equal = rank[e] == best_rank;
    best = equal ? set1i(static_cast<int32_t>(e)) : best;
    see(equal, e);
  }
  return best;
}

// Experts outside the kept groups lose their rank, or have that of a 0.
GAMUT_INLINE void limit_to_groups(const Route<float>& a, const F* score_E, I* rank_E) {
  const int64_t each = a.experts / a.groups, most = a.group_best < each ? a.group_best : each;
  I group_rank[kMostExperts];
  F best[kMostExperts];  // of a group, the largest first
  for (int64_t g = 0; g < a.groups; ++g) {
    for (int64_t i = 0; i < most; ++i) best[i] = set1(-__builtin_inff());
    for (int64_t e = g * each; e < (g + 1) * each; ++e) {
      F rank = a.bias_E ? score_E[e] + a.bias_E[e] : score_E[e];
      for (int64_t i = 0; i < most; ++i) {
        const F less = min(best[i], rank);
        best[i] = max(best[i], rank);
        rank = less;
      }
    }
    F sum = best[0];
    for (int64_t i = 1; i < most; ++i) sum += best[i];
    group_rank[g] = ordered(sum);
  }
  I last = set1i(-1);
  for (int64_t i = 0; i < a.kept_groups; ++i) last = next_largest(a.groups, group_rank, last, [](I, int64_t) GAMUT_INLINED {});
  for (int64_t e = 0; e < a.experts; ++e) {
    const I kept = (group_rank[e / each] == kTaken) | (last == static_cast<int32_t>(e / each));
    rank_E[e] = kept ? rank_E[e] : set1i(a.zero_outside ? 0 : kTaken);
  }
}

// Rows first … first+count−1.
void route_block(const Route<float>& a, int64_t first, int64_t count) {
  F score_E[kMostExperts];
  I rank_E[kMostExperts];
  load_columns(count, a.experts, a.logits_NE + first * a.experts, score_E);
  if (a.score == RouterScore::softmax) {
    F top = score_E[0], sum{};
    for (int64_t e = 1; e < a.experts; ++e) top = max(score_E[e], top);
    for (int64_t e = 0; e < a.experts; ++e) sum += score_E[e] = exp(score_E[e] - top);
    const F inverse = 1.0f / sum;
    for (int64_t e = 0; e < a.experts; ++e) score_E[e] *= inverse;
  } else {
    for (int64_t e = 0; e < a.experts; ++e) score_E[e] = a.score == RouterScore::sigmoid ? sigmoid(score_E[e]) : sqrt(softplus(score_E[e]));
  }
  for (int64_t e = 0; e < a.experts; ++e) rank_E[e] = ordered(a.bias_E ? score_E[e] + a.bias_E[e] : score_E[e]);
  store_columns(count, a.experts, score_E, a.scores_NE + first * a.experts);

  if (a.groups > 1) limit_to_groups(a, score_E, rank_E);

  F chosen_k[kMostExperts], total{};
  I best = set1i(-1);
  for (int64_t i = 0; i < a.k; ++i) {
    F chosen{};
    if (a.chosen) {
      for (int64_t r = 0; r < count; ++r) chosen[r] = score_E[a.index_Nk[(first + r) * a.k + i]][r];
    } else {
      best = next_largest(a.experts, rank_E, best, [&](I equal, int64_t e) GAMUT_INLINED { chosen = select(equal, score_E[e], chosen); });
      for (int64_t r = 0; r < count; ++r) a.index_Nk[(first + r) * a.k + i] = best[r];
    }
    chosen_k[i] = chosen;
    total += chosen;
  }
  const F factor = a.norm == GateNorm::selected ? a.scale / (max(total, set1(a.floor)) + a.epsilon) : set1(a.scale);
  for (int64_t i = 0; i < a.k; ++i) {
    const F weight = chosen_k[i] * factor;
    for (int64_t r = 0; r < count; ++r) a.weight_Nk[(first + r) * a.k + i] = weight[r];
  }
}

void route_backward_block(const RouteBackward<float>& a, int64_t first, int64_t count) {
  const Route<float>& f = a.forward;
  F score_E[kMostExperts], d_score_E[kMostExperts];
  load_columns(count, f.experts, f.scores_NE + first * f.experts, score_E);
  if (a.d_scores_NE) {
    load_columns(count, f.experts, a.d_scores_NE + first * f.experts, d_score_E);
  } else {
    for (int64_t e = 0; e < f.experts; ++e) d_score_E[e] = F{};
  }
  if (a.d_weight_Nk) {
    float total[W] = {}, shared[W] = {};
    const int32_t* index_Nk = f.index_Nk + first * f.k;
    const float *weight_Nk = f.weight_Nk + first * f.k, *d_weight_Nk = a.d_weight_Nk + first * f.k;
    const bool divided = f.norm == GateNorm::selected;
    for (int64_t r = 0; r < count && divided; ++r) {
      for (int64_t i = r * f.k; i < (r + 1) * f.k; ++i) {
        total[r] += score_E[index_Nk[i]][r];
        shared[r] += weight_Nk[i] * d_weight_Nk[i];
      }
      if (total[r] < f.floor) {
        total[r] = f.floor;
        shared[r] = 0;
      }
      total[r] += f.epsilon;
    }
    for (int64_t r = 0; r < count; ++r) {
      const float inverse = divided ? 1 / total[r] : 1.0f;
      for (int64_t i = r * f.k; i < (r + 1) * f.k; ++i) d_score_E[index_Nk[i]][r] += (f.scale * d_weight_Nk[i] - shared[r]) * inverse;
    }
  }
  if (f.score == RouterScore::softmax) {
    F mean[2] = {};
    for (int64_t e = 0; e < f.experts; ++e) mean[e % 2] = madd(score_E[e], d_score_E[e], mean[e % 2]);
    for (int64_t e = 0; e < f.experts; ++e) d_score_E[e] = score_E[e] * (d_score_E[e] - (mean[0] + mean[1]));
  } else if (f.score == RouterScore::sigmoid) {
    for (int64_t e = 0; e < f.experts; ++e) d_score_E[e] *= score_E[e] * (1.0f - score_E[e]);
  } else {
    F logit_E[kMostExperts];
    load_columns(count, f.experts, f.logits_NE + first * f.experts, logit_E);
    for (int64_t e = 0; e < f.experts; ++e) d_score_E[e] = select(score_E[e] > 0.0f, d_score_E[e] * sigmoid(logit_E[e]) / (score_E[e] + score_E[e]), F{});
  }
  store_columns(count, f.experts, d_score_E, a.d_logits_NE + first * f.experts, true);
}

}  // namespace

template <class P> static bool rare(const Route<P>& a) { return a.experts > kMostExperts || a.power != 1; }

template <class P> void route(const Route<P>& a) {
  if (rare(a)) return ref::route(a);
  for (int64_t n = 0; n < a.rows; n += W) route_block(a, n, a.rows - n < W ? a.rows - n : W);
}

template <class P> void route_backward(const RouteBackward<P>& a) {
  if (rare(a.forward)) return ref::route_backward(a);
  const int64_t rows = a.forward.rows;
  for (int64_t n = 0; n < rows; n += W) route_backward_block(a, n, rows - n < W ? rows - n : W);
}

template void route(const Route<float>&);
template void route_backward(const RouteBackward<float>&);

}  // namespace gamut::kernels::GAMUT_TIER
