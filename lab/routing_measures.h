// What routers' choices say: which experts go together, what they specialise in, how settled they are. Choices as Pass::choices_made has them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "generation/comparison.h"

namespace gamut {

// [E, E]: of the tokens that took expert i, the share that took j, too, over all pairs of a token's choices; the diagonal is 0.
// [Muennighoff et al., OLMoE, 2024]
std::vector<double> coactivation(const RouterChoices& choices, int experts);

// Mean over tokens of |first ∩ second| / |second|: 1 when every token's experts are the same. Between a checkpoint and the last one this is router
// saturation [OLMoE, 2024]. Both are of the same tokens.
double overlap(const RouterChoices& first, const RouterChoices& second);

struct Specialisation {
  std::vector<double> share;  // [labels, E]: of the label's slots, those that went to the expert
  double information = 0;     // I(label; expert) of a slot, bits, corrected for small counts [Miller 1955; Madow 1948]
  double shuffled = 0;        // the same mean over shuffles of the labels among tokens…
  double shuffled_high = 0;   // …and its 95th percentile: what chance gives
};
// label_N: 0 … labels−1 for each token; −1: left out.
Specialisation specialisation(const RouterChoices& choices, int experts, std::span<const int32_t> label_N, int labels, int shuffles, uint64_t seed);

// The same given the token's id: Σ_v p(v)·I(label; expert | v) over ids that occur at least `least` times, labels shuffled among tokens of one id. What is
// left of a domain's specialisation when its vocabulary is accounted for. `share` is empty.
Specialisation specialisation_given_token(const RouterChoices& choices, int experts, std::span<const int32_t> label_N, int labels,
                                          std::span<const int32_t> id_N, int64_t least, int shuffles, uint64_t seed);

// Tokens by what they are.
struct LabelledTokens {
  std::vector<std::string> domains;
  std::vector<int32_t> domain_N, id_N;  // of each token; domain −1: left out
};
// All of it, a row for each mixture: layer, load, gates, max_violation, dead, effective, router_entropy, logit_rms, and of routers that choose by tokens coactivation, domain,
// domain_given_token and token ({information, shuffled, shuffled_high} in bits a slot; domain.share), saturation towards `earlier`. dead: experts with less than
// a tenth of an even share; effective: exp of the load's entropy.
Json routing_json(const Measurement& measured, const LabelledTokens& text, int shuffles, const Measurement* earlier = nullptr);

}  // namespace gamut
