#include "training/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gamut {
namespace {

TEST(Schedule, WarmUpRisesFromTheFirstStep) {
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    const ScheduleOptions o{.kind = kind, .warmup = 0.1};
    EXPECT_DOUBLE_EQ(schedule_factor(o, 1, 100), 0.1) << kind << ": the first step is not lost";
    EXPECT_DOUBLE_EQ(schedule_factor(o, 5, 100), 0.5) << kind;
    EXPECT_DOUBLE_EQ(schedule_factor(o, 10, 100), 1) << kind;
    EXPECT_DOUBLE_EQ(schedule_factor({.kind = kind, .warmup = 0}, 0, 100), 1) << kind;
  }
}

TEST(Schedule, Constant) {
  const ScheduleOptions o{.kind = "constant", .warmup = 0.1};
  for (const double t : {10.0, 50.0, 100.0}) EXPECT_EQ(schedule_factor(o, t, 100), 1);
}

TEST(Schedule, Linear) {
  const ScheduleOptions o{.kind = "linear", .warmup = 0.2, .floor = 0.1};
  EXPECT_DOUBLE_EQ(schedule_factor(o, 60, 100), 0.55);
  EXPECT_DOUBLE_EQ(schedule_factor(o, 80, 100), 0.325);
  EXPECT_DOUBLE_EQ(schedule_factor(o, 100, 100), 0.1);
}

TEST(Schedule, Cosine) {
  const ScheduleOptions o{.kind = "cosine", .warmup = 0.2, .floor = 0.1};
  EXPECT_DOUBLE_EQ(schedule_factor(o, 60, 100), 0.55);
  EXPECT_NEAR(schedule_factor(o, 40, 100), 0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_DOUBLE_EQ(schedule_factor(o, 100, 100), 0.1);
}

TEST(Schedule, WarmUpStableDecay) {
  const ScheduleOptions o{.kind = "wsd", .warmup = 0.1, .floor = 0, .decay = 0.2};
  for (const double t : {10.0, 40.0, 80.0}) EXPECT_EQ(schedule_factor(o, t, 100), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(o, 85, 100), 0.5);  // 1 − √¼
  EXPECT_DOUBLE_EQ(schedule_factor(o, 100, 100), 0);
  EXPECT_EQ(schedule_factor({.kind = "wsd", .warmup = 0.1, .decay = 0}, 100, 100), 1);
}

// What is past the end stays at the floor; a warm-up as long as the run never falls.
TEST(Schedule, Edges) {
  for (const char* kind : {"linear", "cosine", "wsd"}) {
    EXPECT_DOUBLE_EQ(schedule_factor({.kind = kind, .warmup = 0.1, .floor = 0.25}, 150, 100), 0.25) << kind;
    EXPECT_DOUBLE_EQ(schedule_factor({.kind = kind, .warmup = 1, .decay = 0}, 99, 100), 0.99) << kind;
  }
}

}  // namespace
}  // namespace gamut
