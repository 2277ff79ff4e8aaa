#include "modules/channels/routers/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gamut {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

std::vector<double> finite(std::span<const double> scores) {
  double least = std::numeric_limits<double>::max();
  for (const double s : scores)
    if (std::isfinite(s)) least = std::min(least, s);
  std::vector<double> out(scores.begin(), scores.end());
  for (double& s : out)
    if (!std::isfinite(s)) s = least == std::numeric_limits<double>::max() ? 0.0 : least;
  return out;
}

}  // namespace

std::vector<int32_t> assign_exactly(std::span<const double> given, int64_t tokens, int64_t experts) {
  const std::vector<double> score = finite(given);
  const auto at = [&](int64_t t, int64_t e) { return score[static_cast<size_t>(t * experts + e)]; };
  const int64_t most = (tokens + experts - 1) / experts;
  const auto size = static_cast<size_t>(experts);
  std::vector<std::vector<int64_t>> members(size);
  std::vector<int32_t> expert(static_cast<size_t>(tokens), -1);
  // The best move of one of a's tokens to b, and whose it is.
  std::vector<double> gain(size * size, kNothing);
  std::vector<int64_t> mover(size * size, -1);
  const auto refresh = [&](int64_t a) {
    for (int64_t b = 0; b < experts; ++b) {
      double& best = gain[static_cast<size_t>(a * experts + b)];
      best = kNothing;
      if (a == b) continue;
      for (const int64_t t : members[static_cast<size_t>(a)])
        if (const double g = at(t, b) - at(t, a); g > best) best = g, mover[static_cast<size_t>(a * experts + b)] = t;
    }
  };
  std::vector<double> reach(size);
  std::vector<int64_t> from(size);
  for (int64_t t = 0; t < tokens; ++t) {
    // The most that entering, then moving others on, brings up to each expert (no cycle gains: the assignment so far is the best).
    for (int64_t e = 0; e < experts; ++e) reach[static_cast<size_t>(e)] = at(t, e), from[static_cast<size_t>(e)] = -1;
    for (int64_t round = 1; round < experts; ++round) {
      bool better = false;
      for (int64_t a = 0; a < experts; ++a)
        for (int64_t b = 0; b < experts; ++b) {
          const double through = reach[static_cast<size_t>(a)] + gain[static_cast<size_t>(a * experts + b)];
          if (through > reach[static_cast<size_t>(b)] + 1e-12) reach[static_cast<size_t>(b)] = through, from[static_cast<size_t>(b)] = a, better = true;
        }
      if (!better) break;
    }
    int64_t end = -1;
    for (int64_t e = 0; e < experts; ++e)
      if (static_cast<int64_t>(members[static_cast<size_t>(e)].size()) < most && (end < 0 || reach[static_cast<size_t>(e)] > reach[static_cast<size_t>(end)]))
        end = e;
    std::vector<int64_t> changed{end};
    for (int64_t b = end; from[static_cast<size_t>(b)] >= 0; b = changed.back()) {
      const int64_t a = from[static_cast<size_t>(b)], moved = mover[static_cast<size_t>(a * experts + b)];
      std::erase(members[static_cast<size_t>(a)], moved);
      members[static_cast<size_t>(b)].push_back(moved);
      expert[static_cast<size_t>(moved)] = static_cast<int32_t>(b);
      changed.push_back(a);
    }
    members[static_cast<size_t>(changed.back())].push_back(t);
    expert[static_cast<size_t>(t)] = static_cast<int32_t>(changed.back());
    for (const int64_t a : changed) refresh(a);
  }
  return expert;
}

std::vector<int32_t> assign_by_auction(std::span<const double> given, int64_t tokens, int64_t experts) {
  const std::vector<double> score = finite(given);
  const auto [low, high] = std::minmax_element(score.begin(), score.end());
  const double epsilon = std::max((*high - *low) / 50, 1e-4), top = *high;
  const int64_t each = tokens / experts;
  const auto at = [&](int64_t t, int64_t e) { return static_cast<size_t>(t * experts + e); };
  std::vector<double> value = score, cost(static_cast<size_t>(tokens));
  std::vector<int32_t> owner(static_cast<size_t>(tokens), -1);
  constexpr int64_t kRounds = 100000;  // a bound for hostile scores; what is unassigned then goes to experts with room
  for (int64_t round = 0; round < kRounds; ++round) {
    std::vector<double> best(static_cast<size_t>(tokens));
    std::vector<int32_t> bidder(static_cast<size_t>(tokens), -1);
    std::vector<int64_t> order(static_cast<size_t>(tokens));
    for (int64_t e = 0; e < experts; ++e) {
      std::iota(order.begin(), order.end(), 0);
      const int64_t ranked = std::min(each + 1, tokens);
      std::partial_sort(order.begin(), order.begin() + ranked, order.end(),
                        [&](int64_t a, int64_t b) { return value[at(a, e)] != value[at(b, e)] ? value[at(a, e)] > value[at(b, e)] : a < b; });
      const double next = value[at(order[static_cast<size_t>(ranked - 1)], e)];
      for (int64_t i = 0; i < each; ++i) {
        const int64_t t = order[static_cast<size_t>(i)];
        double bid = value[at(t, e)] - next + epsilon;
        if (owner[static_cast<size_t>(t)] == e) bid = std::max(bid, epsilon);
        if (bidder[static_cast<size_t>(t)] < 0 || bid > best[static_cast<size_t>(t)])
          best[static_cast<size_t>(t)] = bid, bidder[static_cast<size_t>(t)] = static_cast<int32_t>(e);
      }
    }
    owner = bidder;
    if (std::find(owner.begin(), owner.end(), -1) == owner.end()) return owner;
    for (int64_t t = 0; t < tokens; ++t) {
      cost[static_cast<size_t>(t)] += best[static_cast<size_t>(t)];
      for (int64_t e = 0; e < experts; ++e) value[at(t, e)] = score[at(t, e)] - cost[static_cast<size_t>(t)];
      // A winner keeps what it has: at the highest value of all for a hundred rounds, then at its true score.
      if (const int32_t e = owner[static_cast<size_t>(t)]; e >= 0) value[at(t, e)] = round < 100 ? top : score[at(t, e)];
    }
  }
  return assign_exactly(given, tokens, experts);
}

}  // namespace gamut
