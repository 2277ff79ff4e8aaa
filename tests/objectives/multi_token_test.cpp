// Several next tokens at once.
#include <gtest/gtest.h>

#include <cmath>

#include "objectives/objective.h"
#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int64_t kRows = 2, kLength = 6, kVocab = 13;

ModelSpec two_further(bool chained, double weight) {
  Json heads = {{{"kind", "vocabulary"}}};
  for (const int64_t depth : {1, 2})
    heads.push_back({{"kind", "further"},
                     {"depth", depth},
                     {"chained", chained},
                     {"mixer", {{"kind", "attention"}, {"heads", 2}}},
                     {"channel", {{"kind", "ffn"}, {"hidden", 5}}}});
  return tiny_spec({{"heads", heads}, {"objective", {{"kind", "multi_token"}, {"weight", weight}}}});
}

struct Text {
  std::vector<int32_t> inputs = random_ids(kRows * kLength, kVocab), targets;
  Text() {
    for (size_t i = 0; i < inputs.size(); ++i) targets.push_back(i + 1 < inputs.size() && (i + 1) % kLength != 0 ? inputs[i + 1] : 3);
    targets[4] = -1;  // no text there
  }
};

double nats(const Tensor& logits, int64_t row, int32_t token) {
  double partition = 0;
  for (int64_t v = 0; v < kVocab; ++v) partition += std::exp(element(logits, row * kVocab + v));
  return std::log(partition) - element(logits, row * kVocab + token);
}

TEST(MultiToken, LossIsThatOfTheNextAndWeighedThatOfFurtherTokens) {
  ThreadPool pool(1);
  const Text text;
  for (const bool chained : {true, false}) {
    TinyModel tiny(two_further(chained, 0.7), pool);
    const auto objective = build_objective(tiny.model.spec().objective);
    const Example e = objective->example({kRows, kLength, text.inputs, text.targets}, {});
    EXPECT_EQ(objective->weight(e), 11);
    Tape tape(tiny.device, Tape::Mode::training);
    const ops::HeadLoss head = objective->loss(tiny.model, {.tape = tape}, e, 1 / objective->weight(e));
    Tape plain(tiny.device, Tape::Mode::inference);
    Pass pass{.tape = plain, .ids_BT = id_tensor(plain, text.inputs, kRows, kLength, kVocab), .visibility = {.sight = {.causal = true}}};
    const Tensor hidden = tiny.model.hidden(pass);
    double sums[3] = {0, 0, 0};
    for (size_t h = 0; h < 3; ++h) {
      const Tensor logits = tiny.model.result(pass, *tiny.model.heads()[h], hidden);
      for (int64_t i = 0; i < kRows * kLength; ++i)
        if (const auto ahead = static_cast<int64_t>(h); i % kLength + ahead < kLength && text.targets[static_cast<size_t>(i + ahead)] >= 0)
          sums[h] += nats(logits, i, text.targets[static_cast<size_t>(i + ahead)]);
    }
    EXPECT_NEAR(element(head.loss, 0), sums[0] / 11, 1e-12);
    EXPECT_NEAR(tape.total_loss(), (sums[0] + 0.35 * (sums[1] + sums[2])) / 11, 1e-12) << chained;
    tape.forget();
  }
}

TEST(MultiToken, WithoutWeightItsGradientIsCausal) {
  ThreadPool pool(1);
  const Text text;
  const auto gradients = [&](const Component& kind) {
    TinyModel tiny(two_further(true, 0), pool);
    const auto objective = build_objective(kind);
    Tape tape(tiny.device, Tape::Mode::training);
    objective->loss(tiny.model, {.tape = tape}, objective->example({kRows, kLength, text.inputs, text.targets}, {}), 0.1);
    tape.backward();
    std::vector<double> all;
    for (const Parameter& p : tiny.model.parameters().all())
      if (!p.name.starts_with("further"))
        for (int64_t i = 0; i < p.value.elements(); ++i) all.push_back(element(p.value.grad()->value, i));
    return all;
  };
  const std::vector<double> a = gradients({"multi_token", {{"weight", 0}}}), b = gradients({"causal"});
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-14);
}

// A position's module reads tokens up to the one before what it predicts, and none behind.
TEST(MultiToken, NoModuleSeesWhatItPredicts) {
  ThreadPool pool(1);
  TinyModel tiny(two_further(true, 1), pool);
  std::vector<int32_t> ids = random_ids(kLength, kVocab);
  const auto logits = [&](size_t h) {
    Tape tape(tiny.device, Tape::Mode::inference);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 1, kLength, kVocab), .visibility = {.sight = {.causal = true}}};
    const Tensor hidden = tiny.model.hidden(pass);
    std::vector<double> out;
    for (size_t k = 1; k <= h; ++k) out = elements(tiny.model.result(pass, *tiny.model.heads()[k], hidden));
    return out;
  };
  for (const int64_t depth : {1, 2}) {
    const std::vector<double> before = logits(static_cast<size_t>(depth));
    ids[4] = (ids[4] + 1) % kVocab;
    const std::vector<double> after = logits(static_cast<size_t>(depth));
    for (int64_t i = 0; i < kLength; ++i) {
      bool same = true;
      for (int64_t v = 0; v < kVocab; ++v) same &= before[static_cast<size_t>(i * kVocab + v)] == after[static_cast<size_t>(i * kVocab + v)];
      EXPECT_EQ(same, i + depth < 4) << "depth " << depth << ", position " << i;
    }
  }
}

TEST(MultiToken, RefusesModelsWithoutFurtherHeads) { EXPECT_ERROR(build_objective({"multi_token"})->check(tiny_spec()), "no head for tokens beyond the next"); }

}  // namespace
}  // namespace gamut
