// From logits to a token: penalties, temperature, truncation, and a draw that depends on seed and position alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gamut {

struct Sampling {
  double temperature = 1;         // 0: greedy, the largest logit (the lowest id of equals)
  int64_t top_k = 0;              // keep the k most likely; 0: all
  double top_p = 1;               // keep the fewest that together reach p [Holtzman et al., nucleus sampling, 2020]
  double min_p = 0;               // keep those with at least min_p times the highest probability [Nguyen et al. 2024]
  double repetition_penalty = 1;  // logits of tokens seen before: divided when positive, multiplied when negative [Keskar et al., CTRL, 2019]
  uint64_t seed = 1;
  bool greedy() const { return temperature == 0; }
  // Error naming the first value out of range.
  void check() const;
};

// What is drawn from: zero for truncated tokens, sum 1. Applied in this order: repetition penalty, temperature, top-k, top-p,
// min-p. Of equally likely tokens the lower id ranks first; at least one is always kept.
std::vector<double> sampling_probabilities(std::span<const float> logits_V, std::span<const int32_t> seen, const Sampling& sampling);

// The next token at `position`. The random number is a function of (seed, position): neighbours in a batch and chunking change nothing.
int32_t choose(std::span<const float> logits_V, std::span<const int32_t> seen, const Sampling& sampling, int64_t position);

}  // namespace gamut
