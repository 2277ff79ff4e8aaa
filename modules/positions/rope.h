// Angles of rotary position embedding, and the ways to stretch them to texts longer than those trained on.
#pragma once

#include <vector>

#include "base/config.h"
#include "core/tape.h"

namespace gamut {

// How frequencies change for longer texts; see rope.cpp for the formulas.
struct RopeScaling {
  std::string kind = "none";      // none | linear | dynamic | yarn | llama3 | longrope | proportional
  double factor = 1;              // how much longer
  int64_t original_positions = 0; // length trained on before scaling; all but linear and proportional
  double low_factor = 1, high_factor = 4;          // llama3: wavelengths above original/low are divided, below original/high kept
  double beta_fast = 32, beta_slow = 1;            // yarn: rotations over the original length between which to interpolate
  bool truncate = true;                            // yarn: whole bounds
  double amplitude = 0;                            // yarn, longrope: factor on cos and sin; 0: 0.1·ln(factor) + 1, √(1 + ln(factor)/ln(original))
  std::vector<double> short_factors, long_factors;  // longrope: divide the frequencies of texts up to the original length, and of longer ones; R/2 each
  double share = 1;                                // proportional: of the pairs that turn at all, those of the highest frequencies
  double long_amplitude = 0;                       // longrope: of longer texts; 0: the same
  static RopeScaling take(Config& cfg);
  Json to_json() const;  // of what differs from the defaults
  bool operator==(const RopeScaling&) const = default;
};

struct RopeOptions {
  int64_t rotary = 0;    // R: dimensions of a head that rotate, even
  double theta = 10000;
  RopeScaling scaling;
  bool operator==(const RopeOptions&) const = default;
};

// cos and sin of position·frequency_i for positions 0 … M−1 and i < R/2; f32 (f64).
struct RopeTable {
  Tensor cos_MR, sin_MR;
  int64_t stretched = 0;  // the text length it was made for, when that matters; 1: any beyond the original one
};

class Rope {
 public:
  Rope(RopeOptions options, DType dtype);  // Error: factors that are not as many as there are pairs
  // The table for texts of `length` positions; remade when it grows.
  const RopeTable& table(Tape& tape, int64_t length);

 private:
  RopeOptions options_;
  DType dtype_;
  RopeTable table_;
};

}  // namespace gamut
