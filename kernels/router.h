// Token-choice routing of rows of router logits: scores, top-k selection, gate weights, and their gradient.
//
// A row's numbers do not depend on the other rows. Scores within 1e-6 and weights within 1.5e-6, relative (router_test).
// Indices are distinct and in range for any logits, NaN included; the order of NaN among the scores is the tier's own.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/candidates.h"

namespace gamut::kernels {

enum class RouterScore : uint8_t { softmax, sigmoid, sqrt_softplus };
enum class GateNorm : uint8_t { none, selected };  // weights as scored, or divided by what was selected

// scores = softmax(logits), sigmoid(logits) or √ln(1 + exp(logits)). Selected: the k largest of scores + bias (lowest index wins ties), in
// descending order of score + bias. weight = score (without bias) · scale [/ Z], Z = max(Σ selected, floor) + epsilon.
// Softmax over the selected logits alone equals softmax + GateNorm::selected. P is float or double.
//
// groups > 1: experts e·groups/experts form groups; of these only the `kept_groups` best may be selected, by the sum of their
// group_best largest scores + bias (1 [DeepSeek-V2, 2024], 2 [DeepSeek-V3, 2024]; all when a group has fewer). Then k ≤ kept_groups·experts/groups.
// With zero_outside experts of other groups stay, as if their score + bias were 0, and are selected before kept ones with a negative sum.
template <class P> inline constexpr P kGateEpsilon = P(1e-20);  // keeps weights finite when every selected score underflows
template <class P> struct Route {
  RouterScore score;
  GateNorm norm;
  P scale;
  P power = 1;  // Σ selected is (Σ score^power)^(1/power) [DBRX, 2024]
  P epsilon = kGateEpsilon<P>, floor = 0;
  int64_t groups = 1, kept_groups = 1, group_best = 1;
  bool zero_outside = false;
  bool chosen = false;  // index_Nk is given; scores and weights alone are made
  int64_t rows, experts, k;
  const P* logits_NE;
  const P* bias_E;       // ? selection only
  P* scores_NE;
  int32_t* index_Nk;
  P* weight_Nk;
};
// d_logits_NE += gradient of the weights; d_scores_NE: ? an extra gradient of the scores (balancing losses).
template <class P> struct RouteBackward {
  Route<P> forward;
  const P* d_weight_Nk;  // ?
  const P* d_scores_NE;  // ?
  P* d_logits_NE;
};
template <class P> using RouteFn = void (*)(const Route<P>&);
template <class P> using RouteBackwardFn = void (*)(const RouteBackward<P>&);
template <class P> const Candidates<RouteFn<P>>& route();
template <class P> const Candidates<RouteBackwardFn<P>>& route_backward();

}  // namespace gamut::kernels
