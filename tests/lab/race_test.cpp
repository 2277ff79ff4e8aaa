// Twins and races on small made-up text: equal FLOPs, the null twin, alternation in time, and stopping at any moment.
#include "lab/race.h"

#include <gtest/gtest.h>

#include <csignal>

#include "base/interrupt.h"
#include "base/io.h"
#include "base/rng.h"
#include "lab/plan.h"
#include "temp_folder.h"

namespace gamut {
namespace {

// Two domains of words drawn at random, one from each half of a list.
class RaceTest : public testing::Test {
 protected:
  TempFolder folder;
  ThreadPool pool{2};
  std::shared_ptr<const Dataset> data;
  TwinShape shape{.width = 24, .layers = 2, .heads = 2, .hidden = 128, .length = 32};

  void SetUp() override {
    clear_interrupt();
    const RandomStream random(3, "words");
    uint64_t at = 0;
    for (const int domain : {0, 1}) {
      std::filesystem::create_directories(folder / "texts" / std::to_string(domain));
      for (int file = 0; file < 40; ++file) {
        std::string text;
        for (int word = 0; word < 400; ++word) {
          const auto number = 40 * domain + static_cast<int>(random.below(at++, 60));
          for (int letter = number; letter >= 0; letter -= 11) text += static_cast<char>('a' + letter % 23);
          text += word % 12 == 11 ? ".\n" : " ";
        }
        write_file(folder / "texts" / std::to_string(domain) / (std::to_string(file) + ".txt"), text);
      }
    }
    data = std::make_shared<const Dataset>(prepare_dataset({.path = folder / "texts", .vocab_size = 300, .cache = folder / "cache"}, pool));
    shape.vocab = data->tokenizer->vocab_size();
  }
  void TearDown() override { clear_interrupt(); }

  Entry entry(const std::string& arm, const ModelSpec& model, int64_t steps) const {
    TrainerOptions o{.seed = 7, .length = 32, .batch_rows = 8, .steps = steps};
    o.optimizer.lr = 3e-3;
    return {.id = arm + "-seed7", .arm = arm, .model = model, .trainer = o, .cool_steps = 6, .evaluate_at = {5, 17, 30}};
  }
  RaceResult race(const std::string& name, const std::vector<Entry>& entries, double checkpoint_seconds = 1e9, const std::function<void(double)>& watch = {}) {
    return run_race({.folder = folder / name, .name = "r", .curve_bytes = 3000, .final_bytes = 6000, .checkpoint_seconds = checkpoint_seconds, .block_steps = 10}, entries, data, pool,
                    [&](double done, const std::string&) { if (watch) watch(done); });
  }
};

TEST_F(RaceTest, OneExpertIsTheDenseArmBitForBit) {
  const auto pair = race("null", {entry("dense", dense_twin(shape), 200), entry("null", null_twin(shape), 200)}).outcomes;
  ASSERT_EQ(pair[0].losses.size(), 206U);
  EXPECT_EQ(pair[0].losses, pair[1].losses);
  EXPECT_EQ(pair[0].bpb, pair[1].bpb);
  EXPECT_EQ(pair[0].cooled_bpb, pair[1].cooled_bpb);
  EXPECT_LT(pair[0].losses.back(), pair[0].losses.front() - 0.5);  // it is training that is equal, not idling
}

TEST_F(RaceTest, StoppedAnywhereItEndsWithTheSameNumbers) {
  const std::vector<Entry> entries{entry("dense", dense_twin(shape), 40), entry("moe", moe_twin(shape), 40), entry("hash", moe_twin(shape, "hash"), 40)};
  const auto undisturbed = race("a", entries).outcomes;
  int stops = 0;
  std::vector<Outcome> stopped;
  for (double next = 0.1; stopped.empty(); next += 0.2) {
    clear_interrupt();
    try {
      stopped = race("b", entries, 1e9, [&](double done) { if (done > next) request_interrupt(SIGINT); }).outcomes;
    } catch (const Error& error) {
      ++stops;
      EXPECT_EQ(static_cast<int>(error.problem().exit), 130);
    }
    ASSERT_LT(stops, 9);
  }
  EXPECT_GE(stops, 4);
  for (size_t i = 0; i < undisturbed.size(); ++i) {
    Outcome a = undisturbed[i], b = stopped[i];
    a.step_seconds = b.step_seconds = {};
    EXPECT_EQ(a.to_json().dump(), b.to_json().dump());
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "b" / "races" / "r.checkpoints"));
  const auto again = race("b", entries).outcomes;  // finished: read, not run
  EXPECT_EQ(again[1].to_json().dump(), stopped[1].to_json().dump());
}

TEST_F(RaceTest, ADivergedRunnerIsReportedAndTheOthersGoOn) {
  Entry wild = entry("wild", dense_twin(shape), 40);
  wild.trainer.optimizer.lr = 1e30;
  const auto both = race("wild", {wild, entry("dense", dense_twin(shape), 40)}, 0).outcomes;
  EXPECT_NE(both[0].failed, "");
  EXPECT_EQ(both[1].failed, "");
  EXPECT_EQ(both[1].losses.size(), 46U);
}

TEST(Plan, EveryShapeOfEveryTierHasEqualActiveFlops) {
  ThreadPool pool(1);
  for (const Tier& tier : tiers()) {
    double before = 0;
    for (TwinShape shape : tier.ladder) {
      shape.vocab = tier.vocab;
      shape.length = tier.length;
      const TrainerOptions options = trainer_options(tier, {.steps = 100}, 1, 1e-3, 100);
      const StepPlan dense = plan_step(dense_twin(shape), options, pool), moe = plan_step(moe_twin(shape), options, pool), null = plan_step(null_twin(shape), options, pool);
      EXPECT_NEAR(moe.cost.matmul_flops / dense.cost.matmul_flops, 1, 0.0115) << tier.name << " width " << shape.width;
      EXPECT_NEAR(null.cost.matmul_flops / dense.cost.matmul_flops, 1, 0.003) << tier.name << " width " << shape.width;
      EXPECT_GT(moe.parameters, dense.parameters);
      EXPECT_GT(dense.active_matrix, before) << "the ladder ascends";
      before = dense.active_matrix;
      if (tier.total_arm) {
        const StepPlan total = plan_step(total_twin(shape), options, pool);
        EXPECT_NEAR(static_cast<double>(total.parameters) / static_cast<double>(moe.parameters), 1, 0.01) << tier.name << " width " << shape.width;
      }
    }
  }
}

TEST(Blocks, TimeRatioIgnoresWhatDisturbsBoth) {
  Outcome a, b;
  for (int step = 0; step < 200; ++step) {
    const double machine = step < 20 ? 5 : step < 110 ? 1 : 1.9;  // warming up, then fast, then slow
    a.step_seconds.push_back(machine * (step % 37 == 0 ? 9.0 : 2.0));
    b.step_seconds.push_back(machine * 3.0);
  }
  EXPECT_NEAR(step_time_ratio(b, a), 1.5, 1e-12);
  EXPECT_EQ(block_seconds(b, 20).size(), 9U);
  b.step_seconds.resize(45);
  EXPECT_NEAR(step_time_ratio(b, a), 1.5, 1e-12);
  EXPECT_EQ(step_time_ratio(b, Outcome{}), 0);
}

}  // namespace
}  // namespace gamut
