// Objectives that hide tokens: what is chosen and how it hides, pairs of texts, who sees whom, and which models cannot learn so.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "objectives/objective.h"
#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int32_t kMask = 60, kCls = 61, kSep = 62, kEnd = 7;
const Json kSpecials = {{"specials", {kMask, kCls, kSep, kEnd}}};

// Rows of text: row b counts up from 10·b below `kMask`, so that neighbours are known.
struct Rows {
  std::vector<int32_t> inputs, targets;
  TokenRows view;
  Rows(int64_t rows, int64_t length, std::function<int32_t(int64_t, int64_t)> token) {
    for (int64_t b = 0; b < rows; ++b)
      for (int64_t t = 0; t < length; ++t) {
        inputs.push_back(token(b, t));
        targets.push_back(token(b, t + 1));
      }
    view = {rows, length, inputs, targets};
  }
};

TEST(MaskedLanguageModel, ChoosesHidesAndLabelsAsBertDoes) {
  constexpr int64_t kRows = 1000, kLength = 128, kVocab = 64;
  const std::vector<int32_t> ids = random_ids(kRows * (kLength + 1), kMask);
  const Rows text(kRows, kLength, [&](int64_t b, int64_t t) { return ids[static_cast<size_t>(b * kLength + t)]; });
  const auto objective = build_objective({"mlm", kSpecials});
  const Example e = objective->example(text.view, {.seed = 3, .first_row = 40, .vocab = kVocab});
  double masked = 0, kept = 0, other = 0;
  std::map<int32_t, double> drawn;
  for (int64_t b = 0; b < kRows; ++b) {
    int64_t chosen = 0;
    for (int64_t t = 0; t < kLength; ++t) {
      const auto i = static_cast<size_t>(b * kLength + t);
      const int32_t before = t == 0 ? kCls : t == kLength - 1 ? kSep : text.inputs[i - 1];
      if (e.labels[i] == -100) {
        ASSERT_EQ(e.ids[i], before) << "what is not chosen stays";
        continue;
      }
      ++chosen;
      ASSERT_EQ(e.labels[i], before);
      ASSERT_TRUE(before < kMask && before != kEnd) << "a special token was chosen";
      if (e.ids[i] == kMask) ++masked;
      else if (e.ids[i] == before) ++kept;
      else ++other;
      ++drawn[e.ids[i]];
    }
    ASSERT_EQ(chosen, 19) << "0.15·128 = 19.2";
  }
  // χ² of the three ways of hiding with two degrees of freedom: above 13.8 by chance once in a thousand. A random token may be the one that was there,
  // or the mask.
  const double n = masked + kept + other, share = 0.1 / kVocab;
  const double expected[] = {n * (0.8 + share), n * (0.1 + share), n * (0.1 - 2 * share)}, counted[] = {masked, kept, other};
  double chi = 0;
  for (int i = 0; i < 3; ++i) chi += (counted[i] - expected[i]) * (counted[i] - expected[i]) / expected[i];
  EXPECT_EQ(n, 19000);
  EXPECT_LT(chi, 13.8) << masked << " " << kept << " " << other;
  EXPECT_GT(drawn[kCls] + drawn[kSep] + drawn[63], 0) << "random tokens come from the whole vocabulary";
  EXPECT_EQ(objective->weight(e), n);
}

TEST(MaskedLanguageModel, CountsRoundHalfToEvenAndChanceFollowsTheRowsNumber) {
  const auto objective = build_objective({"mlm", kSpecials});
  for (const auto& [length, chosen] : {std::pair<int64_t, double>{10, 2}, {30, 4}, {3, 1}, {128, 19}}) {
    const Rows text(1, length, [](int64_t, int64_t t) { return static_cast<int32_t>(10 + t % 50); });
    EXPECT_EQ(objective->weight(objective->example(text.view, {.vocab = 64})), chosen) << length;
  }
  const Rows text(6, 40, [](int64_t b, int64_t t) { return static_cast<int32_t>(8 + (b * 17 + t * 5) % 50); });
  const Example all = objective->example(text.view, {.seed = 1, .first_row = 100, .vocab = 64});
  const Rows last(2, 40, [](int64_t b, int64_t t) { return static_cast<int32_t>(8 + ((b + 4) * 17 + t * 5) % 50); });
  const Example two = objective->example(last.view, {.seed = 1, .first_row = 104, .vocab = 64});
  EXPECT_EQ(all.slice(4, 2).ids, two.ids);
  EXPECT_EQ(all.slice(4, 2).labels, two.labels);
  EXPECT_NE(objective->example(text.view, {.seed = 1, .first_row = 200, .vocab = 64}).labels, all.labels) << "another epoch hides other tokens";
  EXPECT_NE(objective->example(text.view, {.seed = 2, .first_row = 100, .vocab = 64}).labels, all.labels);
}

TEST(MaskedPairs, TheSecondTextFollowsIffTheLabelIsZero) {
  constexpr int64_t kRows = 400, kLength = 16;
  // Rows count upwards without end, each in a range of its own.
  const Rows text(kRows, kLength, [](int64_t b, int64_t t) { return static_cast<int32_t>(1000 + b * 100 + t); });
  const auto objective = build_objective({"mlm+nsp", {{"specials", {1, 2, 3}}, {"rate", 1e-6}, {"masked", 0}, {"random", 0}}});  // all tokens stay
  const Example e = objective->example(text.view, {.seed = 5, .vocab = 4});
  int64_t elsewhere = 0, shorter = 0;
  std::map<size_t, int64_t> cuts;
  for (int64_t b = 0; b < kRows; ++b) {
    const auto row = e.ids.begin() + b * kLength;
    const int64_t used = std::count(e.mask.begin() + b * kLength, e.mask.begin() + (b + 1) * kLength, 1);
    const int64_t cut = std::find(row, row + kLength, 3) - row;
    ASSERT_EQ(row[0], 2);
    ASSERT_EQ(row[used - 1], 3);
    ASSERT_GT(cut, 1);
    ASSERT_GT(used - 1, cut + 1);
    for (int64_t t = 1; t < used - 1; ++t)
      ASSERT_TRUE(t == cut || t == 1 || t == cut + 1 || row[t] == row[t - 1] + 1) << "each text is contiguous";
    ASSERT_EQ(row[cut + 1] == row[cut - 1] + 1, e.row_labels[static_cast<size_t>(b)] == 0) << "row " << b;
    for (int64_t t = 0; t < kLength; ++t) {
      ASSERT_EQ(e.token_types[static_cast<size_t>(b * kLength + t)], t > cut && t < used) << t;
      ASSERT_EQ(e.mask[static_cast<size_t>(b * kLength + t)], t < used);
    }
    elsewhere += e.row_labels[static_cast<size_t>(b)];
    shorter += used < kLength;
    ++cuts[static_cast<size_t>(cut)];
  }
  EXPECT_NEAR(static_cast<double>(elsewhere), 200, 40);
  EXPECT_NEAR(static_cast<double>(shorter), 0.1 * kRows * 11 / 12, 25);
  EXPECT_GT(cuts.size(), 8u);
}

TEST(MaskedPairs, ARowThatCannotBeCutTakesItsSecondTextFromElsewhere) {
  Rows text(2, 8, [](int64_t b, int64_t t) { return static_cast<int32_t>(10 + 20 * b + t); });
  std::fill(text.targets.begin() + 1, text.targets.begin() + 8, -1);  // the first row holds one token
  text.view.targets = text.targets;
  const auto objective = build_objective({"mlm+nsp", {{"specials", {1, 2, 3}}, {"short", 0}}});
  for (uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(objective->example(text.view, {.seed = seed, .vocab = 4}).row_labels[0], 1);
  const Rows alone(1, 8, [](int64_t, int64_t t) { return static_cast<int32_t>(10 + t); });
  EXPECT_EQ(objective->example(alone.view, {.vocab = 4}).row_labels[0], 0) << "there is no elsewhere";
}

// A small BERT: LayerNorm after each block, learned positions, two token types, a transformed head and one for pairs.
ModelSpec small_bert(const Json& changes = Json::object()) {
  Json all = {{"norm", "layer"}, {"norm_placement", "post"}, {"positions", "learned"}, {"embedding_norm", true}, {"token_types", 2}, {"tied", true},
              {"mixer", {{"kv_heads", 2}, {"rope", false}, {"bias", true}}}, {"channel", {{"gated", false}, {"activation", "gelu"}, {"bias", true}}},
              {"heads", {{{"kind", "vocabulary"}, {"transform", "gelu"}, {"bias", "trained"}}, {{"kind", "pooled"}, {"name", "seq_relationship_logits"}, {"classes", 2}}}}};
  all.merge_patch(changes);
  return tiny_spec(all);
}

Example pair_example() {
  Example e{.rows = 2, .length = 6, .ids = {11, 3, 10, 5, 12, 4, 11, 10, 12, 6, 0, 0}, .mask = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, .token_types = {0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}};
  e.labels = {-100, -100, 2, -100, -100, 4, -100, 9, -100, -100, -100, -100};
  e.row_labels = {0, 1};
  return e;
}

double negative_log(const std::vector<double>& scores, size_t first, size_t count, int32_t label) {
  double sum = 0;
  for (size_t k = 0; k < count; ++k) sum += std::exp(scores[first + k]);
  return std::log(sum) - scores[first + static_cast<size_t>(label)];
}

TEST(MaskedPairs, LossIsTheSumOfTwoMeans) {
  ThreadPool pool(1);
  TinyModel tiny(small_bert(), pool);
  const Example e = pair_example();
  const auto objective = build_objective({"mlm+nsp"});
  std::vector<double> words, pairs;
  {
    Tape tape(tiny.device, Tape::Mode::inference);
    ExampleRun run(tiny.model, {.tape = tape}, objective->sight(), e);
    words = elements(tiny.model.result(run.pass(), tiny.model.head("logits"), run.hidden()));
    pairs = elements(tiny.model.result(run.pass(), tiny.model.head("seq_relationship_logits"), run.hidden()));
  }
  double word = 0, pair = 0;
  for (size_t i = 0; i < e.labels.size(); ++i)
    if (e.labels[i] >= 0) word += negative_log(words, i * 13, 13, e.labels[i]) / 3;
  for (size_t b = 0; b < 2; ++b) pair += negative_log(pairs, 2 * b, 2, e.row_labels[b]) / 2;
  Tape tape(tiny.device, Tape::Mode::training);
  const ops::HeadLoss head = objective->loss(tiny.model, {.tape = tape}, e, 1.0 / 3);
  EXPECT_NEAR(element(head.loss, 0), word, 1e-12);
  EXPECT_NEAR(tape.total_loss(), word + pair, 1e-12);
}

// In micro-batches of any sizes both means are those of the step.
TEST(MaskedPairs, MicroBatchesAddUpToTheStep) {
  ThreadPool pool(1);
  TinyModel tiny(small_bert(), pool);
  const auto objective = build_objective({"mlm+nsp", {{"specials", {10, 11, 12}}}});
  const std::vector<int32_t> ids = random_ids(5 * 12 + 1, 10);
  const Rows text(5, 12, [&](int64_t b, int64_t t) { return ids[static_cast<size_t>(b * 12 + t)]; });
  const Example all = objective->example(text.view, {.seed = 2, .vocab = 13});
  const auto run = [&](const std::vector<int64_t>& cuts) {
    tiny.model.parameters().zero_gradients();
    double loss = 0;
    for (int64_t first = 0; const int64_t rows : cuts) {
      Tape tape(tiny.device, Tape::Mode::training);
      objective->loss(tiny.model, {.tape = tape, .loss_scale = static_cast<double>(rows) / 5}, all.slice(first, rows), 1 / objective->weight(all));
      loss += tape.total_loss();
      tape.backward();
      first += rows;
    }
    std::vector<double> out{loss};
    for (const Parameter& p : tiny.model.parameters().all())
      for (const double g : elements(p.value.grad()->value)) out.push_back(g);
    return out;
  };
  const std::vector<double> whole = run({5}), pieces = run({2, 1, 2});
  for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], pieces[i], 1e-11);
}

TEST(Classification, LossIsTheMeanOverRowsWithALabel) {
  ThreadPool pool(1);
  TinyModel tiny(small_bert({{"heads", {{{"kind", "pooled"}, {"name", "logits"}, {"classes", 3}}}}}), pool);
  const auto objective = build_objective({"classification"});
  Example e = pair_example();
  e.row_labels = {2, -100};
  Tape tape(tiny.device, Tape::Mode::training);
  ExampleRun run(tiny.model, {.tape = tape}, objective->sight(), e);
  const std::vector<double> logits = elements(tiny.model.result(run.pass(), tiny.model.head("logits"), run.hidden()));
  ASSERT_EQ(logits.size(), 6u);
  EXPECT_EQ(objective->weight(e), 1);
  EXPECT_NEAR(element(objective->loss(tiny.model, {.tape = tape}, objective->given(e), 1).loss, 0), negative_log(logits, 0, 3, 2), 1e-12);
  e.row_labels.clear();
  EXPECT_ERROR(objective->given(e), "class for every row");
  EXPECT_ERROR(objective->example({}, {}), "text has none");
  e.row_labels = {0, 0};
  TinyModel one(small_bert({{"heads", {{{"kind", "pooled"}, {"name", "logits"}, {"classes", 1}}}}}), pool);
  EXPECT_ERROR(objective->loss(one.model, {.tape = tape}, e, 1), "regress");
}

std::vector<double> logits_of(TinyModel& tiny, const Example& e) {
  Tape tape(tiny.device, Tape::Mode::inference);
  ExampleRun run(tiny.model, {.tape = tape}, {.causal = false}, e);
  return elements(tiny.model.result(run.pass(), tiny.model.head("logits"), run.hidden()));
}

// Positions whose logits are not the same bits.
std::vector<int64_t> differing(const std::vector<double>& a, const std::vector<double>& b, int64_t first, int64_t length) {
  std::vector<int64_t> places;
  for (int64_t t = 0; t < length; ++t)
    if (std::memcmp(&a[static_cast<size_t>((first + t) * 13)], &b[static_cast<size_t>((first + t) * 13)], 13 * sizeof(double)) != 0) places.push_back(t);
  return places;
}

TEST(MaskedLanguageModel, EveryPositionSeesEveryOtherButNoPadding) {
  ThreadPool pool(1);
  TinyModel tiny(small_bert(), pool);
  const Example e = pair_example();
  const std::vector<double> before = logits_of(tiny, e);
  for (int64_t changed = 0; changed < 6; ++changed) {
    Example other = e;
    other.ids[static_cast<size_t>(changed)] = (other.ids[static_cast<size_t>(changed)] + 1) % 13;
    EXPECT_EQ(differing(before, logits_of(tiny, other), 0, 6).size(), 6u) << changed;
    EXPECT_TRUE(differing(before, logits_of(tiny, other), 6, 6).empty()) << "rows do not feel each other";
    other = e;
    other.ids[6 + static_cast<size_t>(changed)] = (other.ids[6 + static_cast<size_t>(changed)] + 1) % 13;
    const std::vector<int64_t> places = differing(before, logits_of(tiny, other), 6, 4);
    EXPECT_EQ(places.size(), changed < 4 ? 4u : 0u) << "padding " << changed;
  }
  // Alone and without padding the second row says the same.
  Example alone{.rows = 1, .length = 4, .ids = {11, 10, 12, 6}, .token_types = {0, 0, 1, 1}};
  const std::vector<double> row = logits_of(tiny, alone);
  EXPECT_EQ(std::memcmp(row.data(), &before[6 * 13], row.size() * sizeof(double)), 0);
}

// UniLM: the source sees itself, the target sees the source and what came before.
TEST(MaskedLanguageModel, AfterAPrefixPositionsLookBackOnly) {
  ThreadPool pool(1);
  TinyModel tiny(small_bert(), pool);
  Example e = pair_example();
  e.mask.clear();
  e.prefix = {3, 2};
  const std::vector<double> before = logits_of(tiny, e);
  for (int64_t changed = 0; changed < 6; ++changed) {
    Example other = e;
    other.ids[static_cast<size_t>(changed)] = (other.ids[static_cast<size_t>(changed)] + 1) % 13;
    const std::vector<int64_t> places = differing(before, logits_of(tiny, other), 0, 6);
    std::vector<int64_t> expected(static_cast<size_t>(changed < 3 ? 6 : 6 - changed));
    std::iota(expected.begin(), expected.end(), changed < 3 ? 0 : changed);
    EXPECT_EQ(places, expected) << changed;
  }
}

TEST(MaskedLanguageModel, RefusesModelsThatOnlyLookBack) {
  const auto spec = [](const std::vector<std::string>& kinds) {
    ModelSpec s = tiny_spec();
    s.objective.kind = "mlm";
    s.layers.clear();
    for (const std::string& kind : kinds) s.layers.push_back({{kind}, {"ffn", {{"hidden", 12}}}});
    return s;
  };
  for (const char* name : {"mlm", "mlm+nsp", "classification"}) {
    const auto objective = build_objective({name});
    EXPECT_ERROR(objective->check(spec({"mamba", "mamba"})), "mamba looks back only");
    EXPECT_ERROR(objective->check(spec({"rwkv7"})), "no layer sees what follows");
    objective->check(spec({"attention"}));
    objective->check(spec({"mamba", "attention"}));  // what mamba saw of both sides, attention brings together
  }
}

TEST(MaskedLanguageModel, RefusesWhatCannotBe) {
  EXPECT_ERROR(build_objective({"mlm", {{"masked", 0.8}, {"random", 0.3}}}), "more than all");
  EXPECT_ERROR(build_objective({"mlm", {{"specials", {1, 2}}}}), "[SEP]");
  EXPECT_ERROR(build_objective({"mlm", {{"rte", 0.2}}}), "rate");
  const Rows text(1, 2, [](int64_t, int64_t) { return 1; });
  EXPECT_ERROR(build_objective({"mlm"})->example(text.view, {}), "no text");
  EXPECT_ERROR(build_objective({"mlm+nsp"})->given(Example{}), "next_sentence_label");
  ThreadPool pool(1);
  TinyModel tiny(small_bert(), pool);
  Example e = pair_example();
  e.token_types[3] = 2;
  EXPECT_ERROR(logits_of(tiny, e), "token type 2 is outside the model's 2");
}

}  // namespace
}  // namespace gamut
