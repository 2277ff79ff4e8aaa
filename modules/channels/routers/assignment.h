// Balanced assignment of tokens to experts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gamut {

// For every token its expert, at most ⌈T/E⌉ tokens each, with the largest sum of scores_TE. Exact: tokens enter one after another,
// each along the path of moves between experts that gains most. Time about T·(E² + T). Scores that are not finite count as the smallest.
std::vector<int32_t> assign_exactly(std::span<const double> scores_TE, int64_t tokens, int64_t experts);

// The auction of BASE layers [Lewis et al. 2021]: experts bid for their T/E best tokens with the difference to the next best plus ε,
// ε = max((max − min)/50, 1e-4); within T·ε of the best sum. Needs T divisible by E.
std::vector<int32_t> assign_by_auction(std::span<const double> scores_TE, int64_t tokens, int64_t experts);

}  // namespace gamut
