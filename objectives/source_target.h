// Objectives whose text has a source and a target: an encoder reads the one, a decoder writes the other. In a model of one stack the
// target follows its source, and where a mixer can look ahead at all, the whole source is seen.
#pragma once

#include "base/config.h"
#include "objectives/objective.h"

namespace gamut {

// A row's two sides without start and end token.
struct Pair {
  std::vector<int32_t> source, target;
};

class SourceTarget : public Objective {
 public:
  kernels::Sight sight() const override { return {.causal = true}; }
  std::optional<int32_t> start() const override { return specials_.empty() ? std::nullopt : std::optional(specials_[0]); }
  std::optional<int32_t> end() const override { return specials_.empty() ? std::nullopt : std::optional(specials_[end_]); }
  ops::HeadLoss loss(Model& model, const Pass& settings, const Example& e, double scale) const override;
  Number number() const override { return Number::own; }
  Writing writing() const override { return Writing::left_to_right; }
  bool prompt_is_prefix() const override { return true; }

 protected:
  // Takes `specials`: as many ids as special_tokens() has names, the first of which begins a decoder's text; the one at `end` ends every text.
  SourceTarget(Config& options, size_t specials, size_t end);
  int32_t special(size_t i) const { return specials_.empty() ? 0 : specials_[i]; }  // without ids only shapes are asked for
  // Rows of sources as they are, and of targets with their end token, which the decoder reads one token later, after the start token.
  // Both sides are padded to the longest row, and at least to the given lengths (the target's with its end).
  Example rows(const std::vector<Pair>& pairs, int64_t source_length, int64_t target_length) const;

 private:
  std::vector<int32_t> specials_;
  size_t end_;
};

// The two sides one after the other in one stack, labels and all; the source is the prefix.
Example joined(const Example& e);

}  // namespace gamut
