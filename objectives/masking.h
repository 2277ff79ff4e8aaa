// What objectives that hide tokens in framed text share: [CLS] A [SEP], [CLS] A [SEP] B [SEP], and which tokens hide. [Devlin et al., BERT, 2019]
#pragma once

#include "objectives/objective.h"

namespace gamut {

struct Masking {
  double rate, masked, random;  // of all tokens; of the chosen ones
  int32_t mask, cls, sep;
  std::vector<int32_t> kept;    // never chosen: these three and others

  static Masking take(Config& cfg);
  static std::vector<std::string> special_tokens() { return {"[MASK]", "[CLS]", "[SEP]"}; }

  // An example of text.rows empty rows as long as the text's.
  static Example empty(const TokenRows& text);
  // Row `row` becomes [CLS] first [SEP], with a second text [CLS] first [SEP] second [SEP], padded.
  void frame(Example& e, int64_t row, std::span<const int32_t> first, std::span<const int32_t> second = {}) const;
  // So many tokens of a row of `length` are chosen: round(rate·length), half to even, at least one.
  int64_t chosen(int64_t length) const;
  // Chooses them in every row, sets their labels and hides them.
  void hide(Example& e, const Draw& draw) const;
};

// The tokens of a row that are text.
std::span<const int32_t> text_of(const TokenRows& text, int64_t row);

}  // namespace gamut
