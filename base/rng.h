// Counter-based random numbers: a value is a pure function of (seed, purpose, name, index).
//
// So a tensor's initial weights do not depend on which other tensors exist, and nothing about a random
// stream needs saving but the counter. Philox 4×32, 10 rounds [Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3", 2011].
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gamut {

// One block of Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class RandomStream {
 public:
  // purpose: "init", "data", "dropout", …; name: for example a tensor's name.
  RandomStream(uint64_t seed, std::string_view purpose, std::string_view name = "");

  uint64_t bits(uint64_t index) const;              // 64 uniform bits
  double uniform(uint64_t index) const;             // [0, 1), 53 bits
  double normal(uint64_t index) const;              // mean 0, variance 1
  uint64_t below(uint64_t index, uint64_t n) const;  // 0 … n−1, bias < 2⁻⁶⁴·n

 private:
  std::array<uint32_t, 2> key_;
};

// A bijection of 0 … n−1 keyed by a stream: the shuffled position of i without storing a permutation.
class Permutation {
 public:
  Permutation(uint64_t n, RandomStream stream);
  uint64_t operator()(uint64_t i) const;

 private:
  uint64_t n_;
  int half_bits_;
  RandomStream stream_;
};

}  // namespace gamut
