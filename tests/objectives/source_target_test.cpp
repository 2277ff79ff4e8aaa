// seq2seq, span corruption and denoising: what they make of text, and that no decoder sees what it is to say.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "objectives/source_target.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int32_t kFirst = 1000;  // text is kFirst, kFirst + 1, …: every token tells its place

Example example_of(const Component& objective, int64_t rows, int64_t length, const Draw& draw = {}, std::vector<int32_t> text = {}) {
  if (text.empty()) {
    text.resize(static_cast<size_t>(rows * length));
    std::iota(text.begin(), text.end(), kFirst);
  }
  return build_objective(objective)->example({rows, length, text, text}, draw);
}

// Row b of a list without its padding.
std::vector<int32_t> row(const std::vector<int32_t>& list, int64_t length, const std::vector<uint8_t>& mask, int64_t b) {
  std::vector<int32_t> out;
  for (int64_t t = 0; t < length; ++t)
    if (mask[static_cast<size_t>(b * length + t)]) out.push_back(list[static_cast<size_t>(b * length + t)]);
  return out;
}
std::vector<int32_t> source(const Example& e, int64_t b = 0) { return row(e.ids, e.length, e.mask, b); }
std::vector<int32_t> decoder(const Example& e, int64_t b = 0) { return row(e.decoder_ids, e.target_length, e.decoder_mask, b); }
std::vector<int32_t> labels(const Example& e, int64_t b = 0) { return row(e.labels, e.target_length, e.decoder_mask, b); }

// Sentinel j is 2 + j, <pad> 0, </s> 1.
Component span_corruption(int64_t sentinels = 400) {
  std::vector<int32_t> specials(static_cast<size_t>(sentinels) + 2);
  std::iota(specials.begin(), specials.end(), 0);
  return {"span_corruption", {{"sentinels", sentinels}, {"specials", specials}}};
}

Component denoising(Json options) {
  options["specials"] = {1, 0, 2};
  return {"denoising", options};
}

TEST(SpanCorruption, LengthsAreThePapers) {
  for (const auto& [raw, inputs, targets] : {std::tuple(568, 512, 114), std::tuple(126, 114, 26), std::tuple(1137, 1024, 229)}) {
    const Example e = example_of(span_corruption(), 3, raw, {.seed = 5});
    EXPECT_EQ(e.length, inputs);
    EXPECT_EQ(e.target_length, targets);
    EXPECT_EQ(std::count(e.mask.begin(), e.mask.end(), 0) + std::count(e.decoder_mask.begin(), e.decoder_mask.end(), 0), 0) << "no padding";
  }
}

TEST(SpanCorruption, SourceAndTargetTogetherAreTheText) {
  const RandomStream lengths(3, "test", "lengths");
  for (uint64_t i = 0; i < 2000; ++i) {
    const auto length = static_cast<int64_t>(2 + lengths.below(i, 300));
    const Example e = example_of(span_corruption(), 1, length, {.seed = 7, .first_row = static_cast<int64_t>(i)});
    const std::vector<int32_t> in = source(e), want = labels(e);
    ASSERT_EQ(in.back(), 1);
    ASSERT_EQ(want.back(), 1);
    ASSERT_GE(in[0], kFirst) << "the first token stays";
    ASSERT_LT(in[in.size() - 2], kFirst) << "the last does not";
    std::map<int32_t, std::vector<int32_t>> spans;
    for (size_t t = 0, at = 0; t + 1 < want.size(); ++t) {
      if (want[t] < kFirst) {
        at = static_cast<size_t>(want[t]);
        ASSERT_EQ(at, 2 + spans.size()) << "sentinels come in order";
        spans[want[t]] = {};
      } else {
        spans[static_cast<int32_t>(at)].push_back(want[t]);
      }
    }
    std::vector<int32_t> merged;
    for (size_t t = 0; t + 1 < in.size(); ++t) {
      if (in[t] >= kFirst) merged.push_back(in[t]);
      else merged.insert(merged.end(), spans.at(in[t]).begin(), spans.at(in[t]).end());
    }
    std::vector<int32_t> text(static_cast<size_t>(length));
    std::iota(text.begin(), text.end(), kFirst);
    ASSERT_EQ(merged, text) << "length " << length;
    std::vector<int32_t> shifted = decoder(e);
    ASSERT_EQ(shifted[0], 0) << "the decoder starts with <pad>";
    ASSERT_TRUE(std::equal(shifted.begin() + 1, shifted.end(), want.begin()));
  }
}

TEST(SpanCorruption, EveryPlaceIsCutAlikeAndEveryRowItsOwn) {
  constexpr int64_t kRows = 4000, kLength = 100;  // 15 tokens in 5 runs
  const Example e = example_of(span_corruption(), kRows, kLength, {.seed = 11});
  std::vector<double> cut(kLength, 1.0);
  for (int64_t b = 0; b < kRows; ++b)
    for (const int32_t id : source(e, b))
      if (id >= kFirst) cut[static_cast<size_t>((id - kFirst) % kLength)] -= 1.0 / kRows;
  EXPECT_NEAR(std::accumulate(cut.begin(), cut.end(), 0.0), 15, 1e-9);
  EXPECT_EQ(std::round(cut[0] * kRows), 0);
  EXPECT_NEAR(cut[kLength - 1], 1, 1e-9);
  for (size_t t = 20; t < 80; ++t) EXPECT_NEAR(cut[t], 0.145, 0.04) << t;  // away from the ends nearly even
  const Example later = example_of(span_corruption(), 2, kLength, {.seed = 11, .first_row = 1});
  std::vector<int32_t> moved = source(later, 0);
  for (int32_t& id : moved) id += id >= kFirst ? static_cast<int32_t>(kLength) : 0;
  EXPECT_EQ(moved, source(e, 1)) << "chance belongs to the row's number in the stream";
  EXPECT_NE(example_of(span_corruption(), 1, kLength, {.seed = 12}).ids, example_of(span_corruption(), 1, kLength, {.seed = 11}).ids);
}

TEST(SpanCorruption, TooFewSentinelsOrIdsAreErrors) {
  example_of(span_corruption(28), 1, 568);
  EXPECT_THROW(example_of(span_corruption(27), 1, 568), Error);
  EXPECT_THROW(example_of(span_corruption(), 1, 1), Error);
  EXPECT_THROW(build_objective({"span_corruption", {{"specials", {0, 1}}}}), Error);
}

TEST(Denoising, WithoutNoiseTheSourceIsTheText) {
  const Example e = example_of(denoising({{"rate", 0}, {"permute", 0}}), 2, 9);
  for (int64_t b = 0; b < 2; ++b) {
    std::vector<int32_t> framed{0};
    for (int32_t t = 0; t < 9; ++t) framed.push_back(kFirst + static_cast<int32_t>(9 * b) + t);
    framed.push_back(1);
    EXPECT_EQ(source(e, b), framed);
    EXPECT_EQ(labels(e, b), framed);
    EXPECT_EQ(decoder(e, b)[0], 1) << "the decoder starts with </s>";
  }
}

TEST(Denoising, SentencesChangePlacesWhole) {
  const std::vector<int32_t> text{10, 11, 9, 12, 9, 9, 13, 14, 15, 9, 16};  // 9 ends a sentence, also twice
  const std::vector<std::vector<int32_t>> sentences{{10, 11, 9}, {12, 9, 9}, {13, 14, 15, 9}, {16}};
  std::map<std::vector<size_t>, int> orders;
  for (int64_t i = 0; i < 2400; ++i) {
    const std::vector<int32_t> in = source(example_of(denoising({{"rate", 0}, {"sentence_ends", {9}}}), 1, 11, {.first_row = i}, text));
    std::vector<size_t> order;
    for (size_t at = 1; at + 1 < in.size();) {
      size_t which = 0;
      while (which < 4 && sentences[which][0] != in[at]) ++which;
      ASSERT_LT(which, 4U);
      ASSERT_TRUE(std::equal(sentences[which].begin(), sentences[which].end(), in.begin() + static_cast<std::ptrdiff_t>(at)));
      order.push_back(which);
      at += sentences[which].size();
    }
    ++orders[order];
  }
  EXPECT_EQ(orders.size(), 24U);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, 100, 50);
}

TEST(Denoising, HidesItsShareOfTokensBehindMasks) {
  constexpr int64_t kRows = 400, kLength = 200;
  const Example e = example_of(denoising({{"permute", 0}}), kRows, kLength, {.seed = 2});
  EXPECT_EQ(e.length, kLength + 2);
  int64_t masks = 0, other = 0;
  for (int64_t b = 0; b < kRows; ++b) {
    const std::vector<int32_t> in = source(e, b), want = labels(e, b);
    EXPECT_EQ(in.front(), 0);
    EXPECT_EQ(in.back(), 1);
    EXPECT_EQ(static_cast<int64_t>(want.size()), kLength + 2);
    std::vector<int32_t> seen(in.begin() + 1, in.end() - 1);
    masks += std::count(seen.begin(), seen.end(), 2);
    // What is left in order is the kept text; random tokens put in place of a mask break the order or repeat.
    int64_t kept = 0;
    const int32_t first = kFirst + static_cast<int32_t>(b * kLength);
    std::vector<int> times(kLength, 0);
    for (const int32_t id : seen)
      if (id >= kFirst) {
        ++kept;
        ++times[static_cast<size_t>(id - first)];
      }
    other += kept - (kLength - 60);  // ⌈0.3·200⌉ are hidden, always
  }
  const double spans = static_cast<double>(masks + other) / kRows;
  EXPECT_NEAR(static_cast<double>(other) / static_cast<double>(masks + other), 0.1, 0.01) << "random tokens among masks";
  EXPECT_NEAR(spans, 60 / 3.0 + 0.5, 0.6) << "spans of mean length 3, those of length 0 and the one cut short included";
}

TEST(Denoising, NeedsToKnowWhatEndsASentence) {
  EXPECT_THROW(build_objective(denoising(Json::object()))->check(tiny_spec()), Error);
  build_objective(denoising({{"permute", 0}}))->check(tiny_spec());
  build_objective(denoising({{"sentence_ends", {4}}}))->check(tiny_spec());
}

TEST(Seq2Seq, CutsRowsByShareOrSeparator) {
  const Example half = example_of({"seq2seq", {{"specials", {5, 6}}}}, 1, 7);
  EXPECT_EQ(source(half), (std::vector<int32_t>{1000, 1001, 1002, 1003, 6}));
  EXPECT_EQ(decoder(half), (std::vector<int32_t>{5, 1004, 1005, 1006}));
  EXPECT_EQ(labels(half), (std::vector<int32_t>{1004, 1005, 1006, 6}));

  const Component separated{"seq2seq", {{"specials", {5, 6}}, {"separator", 3}}};
  const Example e = example_of(separated, 2, 4, {}, {10, 3, 11, 12, 13, 14, 15, 16});
  EXPECT_EQ(source(e, 0), (std::vector<int32_t>{10, 6}));
  EXPECT_EQ(labels(e, 0), (std::vector<int32_t>{11, 12, 6}));
  EXPECT_EQ(source(e, 1), (std::vector<int32_t>{13, 14, 15, 16, 6}));
  EXPECT_EQ(build_objective(separated)->weight(e), 3) << "a row without a separator bears no loss";
  EXPECT_THROW(example_of(separated, 1, 4, {}, {10, 11, 12, 13}), Error);
}

// A file's labels are what the decoder is to say at each place.
TEST(Seq2Seq, LabelsOfFilesAreAligned) {
  const Example e{.rows = 1, .length = 1, .ids = {1}, .target_length = 2, .decoder_ids = {0, 4}, .labels = {4, -100}};
  EXPECT_EQ(build_objective({"seq2seq"})->given(e).labels, e.labels);
}

// Losses of every target token.
std::vector<double> losses(TinyModel& tiny, const Example& e) {
  Tape tape(tiny.device, Tape::Mode::inference);
  const ops::HeadLoss head = build_objective({"seq2seq"})->loss(tiny.model, {.tape = tape}, e, 1);
  return elements(head.token_N);
}

// A later target token must not be seen, the whole source must be: in two stacks and, target after source, in one.
TEST(Seq2Seq, SeesTheWholeSourceAndNoLaterTarget) {
  ThreadPool pool(1);
  for (const bool encoder : {true, false}) {
    TinyModel tiny(encoder ? tiny_encoder_decoder() : tiny_spec(), pool);
    Example e{.rows = 2, .length = 4, .ids = {1, 2, 3, 4, 5, 6, 0, 0}, .mask = {1, 1, 1, 1, 1, 1, 0, 0}, .target_length = 3, .decoder_ids = {0, 7, 8, 0, 9, 10},
              .decoder_mask = {1, 1, 1, 1, 1, 1}, .labels = {7, 8, 1, 9, 10, 1}};
    const std::vector<double> before = losses(tiny, e);
    const auto at = [&](int64_t b, int64_t t) { return static_cast<size_t>(encoder ? b * 3 + t : b * 7 + (b == 0 ? 4 : 2) + t); };
    const auto changed = [&](auto change) {
      Example other = e;
      change(other);
      return losses(tiny, other);
    };
    const std::vector<double> target = changed([](Example& o) { o.decoder_ids[2] = 11; });
    EXPECT_EQ(target[at(0, 0)], before[at(0, 0)]);
    EXPECT_EQ(target[at(0, 1)], before[at(0, 1)]);
    EXPECT_NE(target[at(0, 2)], before[at(0, 2)]);
    for (size_t s = 0; s < 4; ++s) {
      const std::vector<double> source = changed([&](Example& o) { o.ids[s] = 12; });
      for (int64_t t = 0; t < 3; ++t) EXPECT_NE(source[at(0, t)], before[at(0, t)]) << "source token " << s;
      for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(source[at(1, t)], before[at(1, t)]) << "another row's source";
    }
    const std::vector<double> padding = changed([](Example& o) { o.ids[7] = 12; });
    EXPECT_EQ(padding, before);
    // Within the source: what comes later changes what comes first, which the first target token reads.
    EXPECT_NE(changed([](Example& o) { o.ids[5] = 12; })[at(1, 0)], before[at(1, 0)]);
    // A row alone gives the same bits as beside a longer one.
    Example alone{.rows = 1, .length = 2, .ids = {5, 6}, .target_length = 3, .decoder_ids = {0, 9, 10}, .labels = {9, 10, 1}};
    const std::vector<double> single = losses(tiny, alone);
    for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(single[static_cast<size_t>(encoder ? t : 2 + t)], before[at(1, t)]);
  }
}

}  // namespace
}  // namespace gamut
