#include "base/rng.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "base/hash.h"

namespace gamut {
__extension__ typedef unsigned __int128 wide;

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

RandomStream::RandomStream(uint64_t seed, std::string_view purpose, std::string_view name) {
  const uint64_t key = hash64(name, hash64(purpose, hash64(&seed, sizeof seed)));
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
}

uint64_t RandomStream::bits(uint64_t index) const {
  const auto w = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, key_);
  return uint64_t{w[0]} | uint64_t{w[1]} << 32;
}

double RandomStream::uniform(uint64_t index) const { return static_cast<double>(bits(index) >> 11) * 0x1p-53; }

double RandomStream::normal(uint64_t index) const {  // Box–Muller on one block, so that indices stay independent
  const auto w = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 1, 0}, key_);
  const double u = (static_cast<double>((uint64_t{w[0]} | uint64_t{w[1]} << 32) >> 11) + 1.0) * 0x1p-53;  // (0, 1]
  const double v = static_cast<double>((uint64_t{w[2]} | uint64_t{w[3]} << 32) >> 11) * 0x1p-53;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

uint64_t RandomStream::below(uint64_t index, uint64_t n) const {
  return static_cast<uint64_t>((static_cast<wide>(bits(index)) * n) >> 64);
}

Permutation::Permutation(uint64_t n, RandomStream stream) : n_(n), stream_(stream) {
  half_bits_ = (std::bit_width(n > 1 ? n - 1 : 1) + 1) / 2;
}

uint64_t Permutation::operator()(uint64_t i) const {
  // Balanced Feistel network over the next even power of two; values outside 0 … n−1 walk on until they fall inside.
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = i >> half_bits_, right = i & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (stream_.bits(right * 4 + round) & mask);
      left = right;
      right = mixed;
    }
    i = left << half_bits_ | right;
  } while (i >= n_);
  return i;
}

}  // namespace gamut
