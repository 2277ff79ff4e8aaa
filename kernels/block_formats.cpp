#include "kernels/block_formats.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace gamut {
namespace {

float half_at(const uint8_t* at) { return half_to_float(static_cast<uint16_t>(at[0] | at[1] << 8)); }
int low(uint8_t byte) { return byte & 15; }
int high(uint8_t byte) { return byte >> 4; }

// Numbers of four bits, the low halves of all bytes before the high ones: value(q, index).
template <class Value> void nibbles(const uint8_t* packed, int count, float* values, Value value) {
  for (int i = 0; i < count / 2; ++i) {
    values[i] = value(low(packed[i]), i);
    values[i + count / 2] = value(high(packed[i]), i + count / 2);
  }
}

void q4_0(const uint8_t* b, float* values) {
  const float d = half_at(b);
  nibbles(b + 2, 32, values, [&](int q, int) { return d * static_cast<float>(q - 8); });
}

void q4_1(const uint8_t* b, float* values) {
  const float d = half_at(b), m = half_at(b + 2);
  nibbles(b + 4, 32, values, [&](int q, int) { return d * static_cast<float>(q) + m; });
}

// The fifth bits of 32 numbers, bit i of number i.
uint32_t fifth_bits(const uint8_t* at) {
  uint32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

void q5_0(const uint8_t* b, float* values) {
  const float d = half_at(b);
  const uint32_t fifth = fifth_bits(b + 2);
  nibbles(b + 6, 32, values, [&](int q, int i) { return d * static_cast<float>((q | static_cast<int>(fifth >> i & 1) << 4) - 16); });
}

void q5_1(const uint8_t* b, float* values) {
  const float d = half_at(b), m = half_at(b + 2);
  const uint32_t fifth = fifth_bits(b + 4);
  nibbles(b + 8, 32, values, [&](int q, int i) { return d * static_cast<float>(q | static_cast<int>(fifth >> i & 1) << 4) + m; });
}

void q8_0(const uint8_t* b, float* values) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(static_cast<int8_t>(b[2 + i]));
}

// Groups of 16 with four bits of scale and four of minimum each; two bits a number, four runs of 32 in each half's 32 bytes.
void q2_k(const uint8_t* b, float* values) {
  const uint8_t *scales = b, *qs = b + 16;
  const float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int i = 0; i < 256; ++i) {
    const int q = qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const uint8_t scale = scales[i / 16];
    values[i] = d * static_cast<float>(low(scale)) * static_cast<float>(q) - dmin * static_cast<float>(high(scale));
  }
}

// Two bits as in q2_k, a third in hmask (4 is subtracted where it is not set), and 16 scales of six bits: four low ones in the first
// eight bytes, two high ones in the last four.
void q3_k(const uint8_t* b, float* values) {
  const uint8_t *hmask = b, *qs = b + 32, *s = b + 96;
  const float d = half_at(b + 108);
  for (int i = 0; i < 256; ++i) {
    const int group = i / 16;
    const int scale = (group < 8 ? low(s[group]) : high(s[group - 8])) | (s[8 + group % 4] >> (group / 4 * 2) & 3) << 4;
    const int q = (qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - (hmask[i % 32] >> (i / 32) & 1 ? 0 : 4);
    values[i] = d * static_cast<float>(scale - 32) * static_cast<float>(q);
  }
}

// Scale and minimum of group j of 8, six bits each, in twelve bytes.
struct SixBits {
  int scale, minimum;
};
SixBits six_bits(const uint8_t* s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {low(s[j + 4]) | (s[j - 4] >> 6) << 4, high(s[j + 4]) | (s[j] >> 6) << 4};
}

// Groups of 32; each 32 bytes hold a group's low halves and the next one's high ones. `fifth` may hold a fifth bit: bit j of byte i is that
// of number i of group j.
void four_bit_groups(const uint8_t* b, const uint8_t* fifth, const uint8_t* qs, float* values) {
  const float d = half_at(b), dmin = half_at(b + 2);
  for (int j = 0; j < 8; ++j) {
    const auto [scale, minimum] = six_bits(b + 4, j);
    const float step = d * static_cast<float>(scale), least = dmin * static_cast<float>(minimum);
    for (int i = 0; i < 32; ++i) {
      const uint8_t both = qs[j / 2 * 32 + i];
      const int q = (j % 2 ? high(both) : low(both)) | (fifth ? (fifth[i] >> j & 1) << 4 : 0);
      values[32 * j + i] = step * static_cast<float>(q) - least;
    }
  }
}
void q4_k(const uint8_t* b, float* values) { four_bit_groups(b, nullptr, b + 16, values); }
void q5_k(const uint8_t* b, float* values) { four_bit_groups(b, b + 16, b + 48, values); }

// Halves of 128: four low bits in 64 bytes, two high bits in 32, signed scales for every 16.
void q6_k(const uint8_t* b, float* values) {
  const uint8_t *ql = b, *qh = b + 128, *scales = b + 192;
  const float d = half_at(b + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const uint8_t both = ql[half * 64 + quarter % 2 * 32 + l];
    const int q = (quarter < 2 ? low(both) : high(both)) | (qh[half * 32 + l] >> (2 * quarter) & 3) << 4;
    values[i] = d * static_cast<float>(static_cast<int8_t>(scales[i / 16])) * static_cast<float>(q - 32);
  }
}

constexpr std::array<float, 16> kUneven{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr std::array<float, 16> kFloat4{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};  // E2M1, doubled

void iq4_nl(const uint8_t* b, float* values) {
  const float d = half_at(b);
  nibbles(b + 2, 32, values, [&](int q, int) { return d * kUneven[static_cast<size_t>(q)]; });
}

void iq4_xs(const uint8_t* b, float* values) {
  const float d = half_at(b);
  const int high_bits = b[2] | b[3] << 8;
  for (int j = 0; j < 8; ++j) {
    const int scale = (j % 2 ? high(b[4 + j / 2]) : low(b[4 + j / 2])) | (high_bits >> (2 * j) & 3) << 4;
    const float step = d * static_cast<float>(scale - 32);
    nibbles(b + 8 + 16 * j, 32, values + 32 * j, [&](int q, int) { return step * kUneven[static_cast<size_t>(q)]; });
  }
}

// A power of two for 32 numbers of E2M1. [OCP Microscaling formats, 2023]
void mxfp4(const uint8_t* b, float* values) {
  const float half_scale = std::ldexp(1.0f, b[0] - 128);
  nibbles(b + 1, 32, values, [&](int q, int) { return half_scale * kFloat4[static_cast<size_t>(q)]; });
}

// Four groups of 16 numbers of E2M1, each with a scale of E4M3 without sign. [NVIDIA, NVFP4, 2025]
void nvfp4(const uint8_t* b, float* values) {
  for (int j = 0; j < 4; ++j) {
    const int exponent = b[j] >> 3 & 15, fraction = b[j] & 7;
    const float scale = b[j] == 0x7f ? 0 : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9) : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
    nibbles(b + 4 + 8 * j, 16, values + 16 * j, [&](int q, int) { return scale * 0.5f * kFloat4[static_cast<size_t>(q)]; });
  }
}

// Numbers −1, 0, 1 with one scale. TQ1_0: five to a byte as a fraction of 256 in base three, so that multiplying by three brings the next digit.
float ternary(uint8_t byte, int digit, float d) {
  constexpr std::array<int, 5> kPowers{1, 3, 9, 27, 81};
  const auto rest = static_cast<uint8_t>(byte * kPowers[static_cast<size_t>(digit)]);
  return static_cast<float>((rest * 3 >> 8) - 1) * d;
}

void tq1_0(const uint8_t* b, float* values) {
  const float d = half_at(b + 52);
  int n = 0;
  for (const auto& [begin, bytes, digits] : {std::array{0, 32, 5}, std::array{32, 16, 5}, std::array{48, 4, 4}})
    for (int digit = 0; digit < digits; ++digit)
      for (int i = 0; i < bytes; ++i) values[n++] = ternary(b[begin + i], digit, d);
}

void tq2_0(const uint8_t* b, float* values) {
  const float d = half_at(b + 64);
  for (int i = 0; i < 256; ++i) values[i] = static_cast<float>((b[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - 1) * d;
}

constexpr std::array kFormats{
    BlockFormat{"Q4_0", 2, 32, 18, q4_0},     BlockFormat{"Q4_1", 3, 32, 20, q4_1},      BlockFormat{"Q5_0", 6, 32, 22, q5_0},      BlockFormat{"Q5_1", 7, 32, 24, q5_1},
    BlockFormat{"Q8_0", 8, 32, 34, q8_0},     BlockFormat{"Q2_K", 10, 256, 84, q2_k},    BlockFormat{"Q3_K", 11, 256, 110, q3_k},   BlockFormat{"Q4_K", 12, 256, 144, q4_k},
    BlockFormat{"Q5_K", 13, 256, 176, q5_k},  BlockFormat{"Q6_K", 14, 256, 210, q6_k},   BlockFormat{"IQ4_NL", 20, 32, 18, iq4_nl}, BlockFormat{"IQ4_XS", 23, 256, 136, iq4_xs},
    BlockFormat{"TQ1_0", 34, 256, 54, tq1_0}, BlockFormat{"TQ2_0", 35, 256, 66, tq2_0}, BlockFormat{"MXFP4", 39, 32, 17, mxfp4},
    BlockFormat{"NVFP4", 40, 64, 36, nvfp4}};

}  // namespace

std::span<const BlockFormat> block_formats() { return kFormats; }

const BlockFormat* find_block_format(uint32_t id) {
  const auto found = std::find_if(kFormats.begin(), kFormats.end(), [&](const BlockFormat& format) { return format.id == id; });
  return found == kFormats.end() ? nullptr : &*found;
}

}  // namespace gamut
