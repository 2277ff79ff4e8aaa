// Balanced soft assignment by scaling rows and columns.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gamut {

// exp(logits)·d0_t·d1_e with rows summing to 1/T and columns to 1/E, by turns d0 = 1/(T(Σ_e d1·A + 1e-8)), d1 = 1/(E(Σ_t d0·A + 1e-8))
// from ones until the mean change of d1 is below `tolerance` [Clark et al., Unified scaling laws for routed language models, 2022].
std::vector<double> sinkhorn(std::span<const double> logits_TE, int64_t tokens, int64_t experts, double tolerance, int64_t most_rounds);

}  // namespace gamut
