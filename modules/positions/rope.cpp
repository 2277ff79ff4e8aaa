#include "modules/positions/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gamut {
namespace {

// θ^(−2i/R) [Su et al., RoFormer, 2021], scaled. The reference computes in f32; so do we outside the f64 mode.
template <class P> std::vector<P> frequencies(const RopeOptions& o, int64_t length) {
  const RopeScaling& s = o.scaling;
  const auto r = static_cast<double>(o.rotary);
  double theta = o.theta;
  if (s.kind == "dynamic") {  // the base grows with the text [bloc97 and emozilla, dynamic NTK, 2023]
    const double longest = static_cast<double>(std::max(length, s.original_positions)) / static_cast<double>(s.original_positions);
    theta *= std::pow(s.factor * longest - (s.factor - 1), r / (r - 2));
  }
  std::vector<P> f(static_cast<size_t>(o.rotary / 2));
  for (size_t i = 0; i < f.size(); ++i) f[i] = P(1) / static_cast<P>(std::pow(theta, 2.0 * static_cast<double>(i) / r));
  if (s.kind == "longrope") {  // factors found by search, one set for texts as trained on and one for longer ones [Ding et al., LongRoPE, 2024]
    const std::vector<double>& divisors = length > s.original_positions ? s.long_factors : s.short_factors;
    for (size_t i = 0; i < f.size(); ++i) f[i] = P(1) / (static_cast<P>(divisors[i]) * static_cast<P>(std::pow(theta, 2.0 * static_cast<double>(i) / r)));
    return f;
  }
  const auto factor = static_cast<P>(s.factor);
  if (s.kind == "linear" || s.kind == "proportional") {  // position interpolation [Chen et al. 2023]; the slowest pairs stand still [Gemma 4, 2026]
    for (P& x : f) x /= factor;
    if (s.kind == "proportional") std::fill(f.begin() + static_cast<int64_t>(s.share * r) / 2, f.end(), P(0));
  } else if (s.kind == "llama3") {  // long wavelengths divided, short ones kept, a ramp between [Llama 3.1, 2024]
    const auto original = static_cast<P>(s.original_positions), low = static_cast<P>(s.low_factor), high = static_cast<P>(s.high_factor);
    for (P& x : f) {
      const P wavelength = static_cast<P>(2 * std::numbers::pi) / x;
      if (wavelength < original / high) continue;
      const P keep = wavelength > original / low ? P(0) : (original / wavelength - low) / (high - low);
      x = (1 - keep) * x / factor + keep * x;
    }
  } else if (s.kind == "yarn") {  // dimensions that turn rarely are interpolated, those that turn often kept [Peng et al., YaRN, 2023]
    const auto dimension_of = [&](double rotations) {
      return r * std::log(static_cast<double>(s.original_positions) / (rotations * 2 * std::numbers::pi)) / (2 * std::log(o.theta));
    };
    double low = dimension_of(s.beta_fast), high = dimension_of(s.beta_slow);
    if (s.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, r - 1);
    if (low == high) high += 0.001;
    for (size_t i = 0; i < f.size(); ++i) {
      const P interpolate = std::clamp((static_cast<P>(i) - static_cast<P>(low)) / static_cast<P>(high - low), P(0), P(1));
      f[i] = f[i] / factor * interpolate + f[i] * (1 - interpolate);
    }
  }
  return f;
}

double amplitude(const RopeScaling& s, bool longer) {
  if (s.kind != "yarn" && s.kind != "longrope") return 1;
  if (longer && s.long_amplitude > 0) return s.long_amplitude;
  if (s.amplitude > 0) return s.amplitude;
  if (s.factor <= 1) return 1;
  return s.kind == "yarn" ? 0.1 * std::log(s.factor) + 1 : std::sqrt(1 + std::log(s.factor) / std::log(static_cast<double>(s.original_positions)));
}

}  // namespace

RopeScaling RopeScaling::take(Config& cfg) {
  RopeScaling s;
  s.kind = cfg.take_choice("kind", s.kind, {"none", "linear", "dynamic", "yarn", "llama3", "longrope", "proportional"});
  if (s.kind == "none") return s;
  s.factor = cfg.take_in<double>("factor", s.factor, 1, 1e6);
  if (s.kind == "proportional") {
    s.share = cfg.take_in<double>("share", s.share, 0, 1);
    return s;
  }
  if (s.kind != "linear") s.original_positions = cfg.take_in<int64_t>("original_positions", 1, int64_t{1} << 40);
  if (s.kind == "llama3") {
    s.low_factor = cfg.take_in<double>("low_factor", s.low_factor, 1e-9, 1e9);
    s.high_factor = cfg.take_in<double>("high_factor", s.high_factor, 1e-9, 1e9);
    if (s.high_factor <= s.low_factor) cfg.reject("high_factor", "must be above low_factor");
  }
  if (s.kind == "yarn") {
    s.beta_fast = cfg.take_in<double>("beta_fast", s.beta_fast, 1e-9, 1e9);
    s.beta_slow = cfg.take_in<double>("beta_slow", s.beta_slow, 1e-9, 1e9);
    s.truncate = cfg.take<bool>("truncate", s.truncate);
    s.amplitude = cfg.take_in<double>("amplitude", s.amplitude, 0, 1e6);
  }
  if (s.kind == "longrope") {
    if (s.original_positions < 2) cfg.reject("original_positions", "must be more than 1");
    s.short_factors = cfg.take<std::vector<double>>("short_factors");
    s.long_factors = cfg.take<std::vector<double>>("long_factors");
    for (const auto* factors : {&s.short_factors, &s.long_factors})
      for (const double x : *factors)
        if (!(x > 0)) cfg.reject(factors == &s.short_factors ? "short_factors" : "long_factors", "must be positive");
    s.amplitude = cfg.take_in<double>("amplitude", s.amplitude, 0, 1e6);
    s.long_amplitude = cfg.take_in<double>("long_amplitude", s.long_amplitude, 0, 1e6);
  }
  return s;
}

Json RopeScaling::to_json() const {
  const RopeScaling d;
  Json out = {{"kind", kind}, {"factor", factor}};
  if (original_positions != d.original_positions) out["original_positions"] = original_positions;
  if (low_factor != d.low_factor) out["low_factor"] = low_factor;
  if (high_factor != d.high_factor) out["high_factor"] = high_factor;
  if (beta_fast != d.beta_fast) out["beta_fast"] = beta_fast;
  if (beta_slow != d.beta_slow) out["beta_slow"] = beta_slow;
  if (truncate != d.truncate) out["truncate"] = truncate;
  if (amplitude != d.amplitude) out["amplitude"] = amplitude;
  if (share != d.share) out["share"] = share;
  if (long_amplitude != d.long_amplitude) out["long_amplitude"] = long_amplitude;
  if (kind == "longrope") {
    out["short_factors"] = short_factors;
    out["long_factors"] = long_factors;
  }
  return out;
}

Rope::Rope(RopeOptions options, DType dtype) : options_(std::move(options)), dtype_(dtype) {
  const RopeScaling& s = options_.scaling;
  if (s.kind != "longrope") return;
  const auto half = static_cast<size_t>(options_.rotary / 2);
  for (const auto& [name, factors] : {std::pair("short_factors", &s.short_factors), std::pair("long_factors", &s.long_factors)})
    if (factors->size() != half)
      throw Error({.who = "rope", .what = std::string(name) + " of rope_scaling holds " + std::to_string(factors->size()) + " numbers", .hint = "one for each of " + std::to_string(half) + " pairs that rotate"});
}

const RopeTable& Rope::table(Tape& tape, int64_t length) {
  // Two kinds of scaling look at the text's length: beyond the original one every length has its own table (dynamic), or all have the same (longrope).
  const bool longer = length > options_.scaling.original_positions;
  const int64_t stretched = !longer ? 0 : options_.scaling.kind == "dynamic" ? length : options_.scaling.kind == "longrope" ? 1 : 0;
  if (table_.cos_MR && table_.cos_MR.shape()[0] >= length && table_.stretched == stretched) return table_;
  const int64_t positions = (length + 255) / 256 * 256, half = options_.rotary / 2;
  table_ = {};
  table_ = {tape.empty({positions, half}, dtype_), tape.empty({positions, half}, dtype_), stretched};
  if (!tape.runs()) return table_;
  with_float_type(dtype_, [&]<class P>() {
    if constexpr (!std::is_same_v<P, bf16>) {
      const std::vector<P> f = frequencies<P>(options_, length);
      const auto a = static_cast<P>(amplitude(options_.scaling, longer));
      tape.pool().parallel_for(positions, [&](int64_t m, int) {
        for (int64_t i = 0; i < half; ++i) {
          const P angle = static_cast<P>(m) * f[static_cast<size_t>(i)];
          table_.cos_MR.data<P>()[m * half + i] = std::cos(angle) * a;
          table_.sin_MR.data<P>()[m * half + i] = std::sin(angle) * a;
        }
      });
    }
  });
  return table_;
}

}  // namespace gamut
