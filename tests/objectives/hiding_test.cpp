// Asking a model to fill in chosen tokens: what is asked for, in which order, and that it cannot be seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "objectives/objective.h"

namespace gamut {
namespace {

constexpr int64_t kRows = 3, kLength = 20;

struct Question {
  std::vector<int32_t> inputs, targets;
  std::vector<uint8_t> hidden = std::vector<uint8_t>(kRows * kLength, 0);
  TokenRows view() const { return {kRows, kLength, inputs, targets}; }
  // Every token once, counting up; in each row a run of three and a run of two that end with the row.
  explicit Question(int32_t step = 0) {
    for (int32_t i = 0; i < kRows * kLength; ++i) {
      const int64_t t = i % kLength;
      hidden[static_cast<size_t>(i)] = (t >= 4 && t < 7) || t >= kLength - 2;
      targets.push_back(i + 1 + (hidden[static_cast<size_t>(i)] ? step : 0));
      inputs.push_back(t == 0 ? 0 : targets[static_cast<size_t>(i) - 1]);
    }
  }
  std::vector<int32_t> answers() const {
    std::vector<int32_t> all;
    for (size_t i = 0; i < hidden.size(); ++i)
      if (hidden[i]) all.push_back(targets[i]);
    return all;
  }
};

std::optional<Example> ask(const Component& objective, const Question& question) { return build_objective(objective)->hiding(question.view(), question.hidden); }

const Component kBothSides[] = {{"masked_diffusion", {{"specials", {500}}}}, {"mlm", {{"specials", {500, 501, 502}}}}, {"span_corruption", {{"sentinels", 2}, {"specials", {500, 501, 502, 503}}}}};
const Component kLeftOnly[] = {{"causal"}, {"prefix"}};

TEST(Hiding, LabelsAreTheHiddenTokensInOrder) {
  const Question question;
  for (const auto* list : {kBothSides, kLeftOnly})
    for (int i = 0; i < (list == kBothSides ? 3 : 2); ++i) {
      const auto e = ask(list[i], question);
      ASSERT_TRUE(e) << list[i].kind;
      std::vector<int32_t> labels;
      std::copy_if(e->labels.begin(), e->labels.end(), std::back_inserter(labels), [](int32_t label) { return label >= 0; });
      EXPECT_EQ(labels, question.answers()) << list[i].kind;
      EXPECT_LE(std::max(e->length, e->target_length), kLength + 2);
      EXPECT_EQ(std::ssize(e->labels), e->rows * e->label_length());
    }
}

TEST(Hiding, WhatIsHiddenDoesNotChangeWhatIsRead) {
  const Question one, other(100);
  for (const Component& objective : kBothSides) EXPECT_EQ(ask(objective, one)->ids, ask(objective, other)->ids) << objective.kind;
  // A model that looks back reads hidden tokens, but none before it is asked for it.
  for (const Component& objective : kLeftOnly) {
    const Example a = *ask(objective, one), b = *ask(objective, other);
    for (int64_t row = 0; row < kRows; ++row) {
      const auto first = a.labels.begin() + row * kLength, asked = std::find_if(first, first + kLength, [](int32_t label) { return label >= 0; });
      EXPECT_TRUE(std::equal(a.ids.begin() + row * kLength, a.ids.begin() + (asked - a.labels.begin()) + 1, b.ids.begin() + row * kLength)) << objective.kind;
    }
  }
  const Example e = *ask({"prefix"}, one);
  for (const int32_t prefix : e.prefix) EXPECT_EQ(prefix, 5) << "up to the position that is asked first";
}

TEST(Hiding, NothingToFillInWhereNothingIsLearntOfIt) { EXPECT_FALSE(ask({"seq2seq", {{"specials", {500, 501}}}}, Question())); }

}  // namespace
}  // namespace gamut
