// Angles of rotary position embedding, and the ways to stretch them to texts longer than those trained on.
#pragma once

#include "base/config.h"
#include "core/tape.h"

namespace gamut {

// How frequencies change for longer texts; see rope.cpp for the formulas.
struct RopeScaling {
  std::string kind = "none";      // none | linear | dynamic | yarn | llama3
  double factor = 1;              // how much longer
  int64_t original_positions = 0; // length trained on before scaling; all but linear
  double low_factor = 1, high_factor = 4;          // llama3: wavelengths above original/low are divided, below original/high kept
  double beta_fast = 32, beta_slow = 1;            // yarn: rotations over the original length between which to interpolate
  bool truncate = true;                            // yarn: whole bounds
  double amplitude = 0;                            // yarn: factor on cos and sin; 0: 0.1·ln(factor) + 1
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
  int64_t stretched = 0;  // the text length it was made for, when that matters
};

class Rope {
 public:
  Rope(RopeOptions options, DType dtype) : options_(std::move(options)), dtype_(dtype) {}
  // The table for texts of `length` positions; remade when it grows.
  const RopeTable& table(Tape& tape, int64_t length);

 private:
  RopeOptions options_;
  DType dtype_;
  RopeTable table_;
};

}  // namespace gamut
