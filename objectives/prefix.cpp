// Prefix language model: the first tokens of a row are seen by all, the rest is predicted from left to right.
// [Liu et al. 2018; Raffel et al., T5, 2020]
#include <algorithm>

#include "base/rng.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

class Prefix : public Objective {
 public:
  kernels::Sight sight() const override { return {.causal = true}; }
  bool prompt_is_prefix() const override { return true; }
  Number number() const override { return Number::own; }
  Writing writing() const override { return Writing::left_to_right; }

  // The prefix ends at a place drawn evenly, with at least one token on either side.
  Example example(const TokenRows& text, const Draw& draw) const override {
    const RandomStream stream(draw.seed, "prefix length");
    Example e{.rows = text.rows, .length = text.length, .ids = {text.inputs.begin(), text.inputs.end()}, .labels = {text.targets.begin(), text.targets.end()}};
    for (int64_t b = 0; b < text.rows; ++b) {
      const int64_t most = std::max<int64_t>(1, text.length - 1);
      e.prefix.push_back(static_cast<int32_t>(1 + stream.below(static_cast<uint64_t>(draw.first_row + b), static_cast<uint64_t>(most))));
    }
    hide_prefix(e);
    return e;
  }
  // The prefix ends before the first hidden token.
  std::optional<Example> hiding(const TokenRows& text, std::span<const uint8_t> hidden) const override {
    Example e = asking_for(text, hidden);
    for (int64_t b = 0; b < e.rows; ++b) {
      const auto row = hidden.subspan(static_cast<size_t>(b * e.length), static_cast<size_t>(e.length));
      e.prefix.push_back(static_cast<int32_t>(std::max<std::ptrdiff_t>(1, std::min<std::ptrdiff_t>(e.length, std::find(row.begin(), row.end(), 1) - row.begin() + 1))));
    }
    return e;
  }
  // Within the prefix a position sees the token it would predict: no label counts there.
  Example given(Example e) const override {
    shift_labels(e);
    hide_prefix(e);
    return e;
  }

 private:
  static void hide_prefix(Example& e) {
    for (size_t b = 0; b < e.prefix.size(); ++b)
      for (int64_t t = 0; t + 1 < std::min<int64_t>(e.prefix[b], e.length); ++t) e.labels[b * static_cast<size_t>(e.length) + static_cast<size_t>(t)] = -100;
  }
};

}  // namespace

std::unique_ptr<Objective> build_prefix(Config&) { return std::make_unique<Prefix>(); }

}  // namespace gamut
