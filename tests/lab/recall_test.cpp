// The recall task is what it says, and a mixer that can recall learns it.
#include "lab/recall.h"

#include <cmath>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace gamut {
namespace {

TEST(Recall, EveryKeyIsAskedOnceAndItsValueIsTheTarget) {
  const RecallTask task{.vocab = 20, .length = 26, .pairs = 6};
  constexpr int64_t kRows = 50;
  const RecallRows rows = recall_rows(task, 3, "test", 0, kRows);
  ASSERT_EQ(rows.ids.size(), static_cast<size_t>(kRows * task.length));
  for (int64_t r = 0; r < kRows; ++r) {
    const int32_t *ids = rows.ids.data() + r * task.length, *targets = rows.targets.data() + r * task.length;
    std::map<int32_t, int32_t> values;
    for (int64_t i = 0; i < task.pairs; ++i) {
      EXPECT_LT(ids[2 * i], 10);
      EXPECT_GE(ids[2 * i + 1], 10);
      EXPECT_TRUE(values.emplace(ids[2 * i], ids[2 * i + 1]).second) << "keys differ";
    }
    std::set<int32_t> asked;
    for (int64_t t = 0; t < task.length; ++t) {
      ASSERT_GE(ids[t], 0);
      ASSERT_LT(ids[t], task.vocab);
      if (targets[t] < 0) continue;
      EXPECT_GE(t, 2 * task.pairs);
      EXPECT_EQ(targets[t], values.at(ids[t]));
      EXPECT_TRUE(asked.insert(ids[t]).second);
    }
    EXPECT_EQ(asked.size(), static_cast<size_t>(task.pairs));
  }
}

TEST(Recall, ExamplesAreFunctionsOfTheirPlaceAndStream) {
  const RecallTask task;
  const RecallRows whole = recall_rows(task, 1, "a", 0, 6), part = recall_rows(task, 1, "a", 4, 2);
  EXPECT_TRUE(std::equal(part.ids.begin(), part.ids.end(), whole.ids.begin() + 4 * task.length));
  EXPECT_NE(recall_rows(task, 1, "b", 4, 2).ids, part.ids);
  EXPECT_NE(recall_rows(task, 2, "a", 4, 2).ids, part.ids);
}

TEST(Recall, IsLearntAndResultsAreThoseOfTheSeed) {
  ThreadPool one(1), two(2);
  const RecallTask task{.vocab = 16, .length = 16, .pairs = 2};
  const RecallOptions options{.batch_rows = 32, .steps = 1600, .evaluate_every = 100, .test_rows = 64, .rate = 1e-2};
  ModelSpec model{.width = 32, .layers = {2, LayerSpec{{"attention", {{"heads", 2}}}, {"none"}}}};
  model.init_std = 1 / std::sqrt(32.0);  // from smaller weights it long knows a text's values only, which is ½
  const RecallResult result = run_recall(model, task, options, two, [](double) {});
  EXPECT_GT(result.accuracy, 0.9) << "chance is 1/8";
  EXPECT_EQ(result.state_bytes, 2 * 16 * 2 * 32 * 2);  // layers × tokens × keys and values × width × bf16
  const RecallOptions brief{.batch_rows = 8, .steps = 20, .evaluate_every = 5, .test_rows = 16};
  const RecallResult a = run_recall(model, task, brief, one, [](double) {}), b = run_recall(model, task, brief, two, [](double) {});
  EXPECT_EQ(a.curve, b.curve);
  EXPECT_EQ(a.curve, RecallResult::from_json(a.to_json()).curve);
}

}  // namespace
}  // namespace gamut
