#include "core/arena.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "temp_folder.h"

namespace gamut {
namespace {

TEST(Arena, HandsOutAlignedBlocksThatDoNotOverlap) {
  Arena arena;
  ASSERT_TRUE(arena.real());
  size_t end = 0;
  for (const size_t bytes : {1u, 63u, 64u, 65u, 1000u, 0u}) {
    const size_t offset = arena.take(bytes);
    EXPECT_EQ(offset % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena.at(offset)) % 64, 0u);
    EXPECT_GE(offset, end);
    std::memset(arena.at(offset), 1, bytes);
    end = offset + bytes;
  }
}

TEST(Arena, ReusesTheBestFitAndJoinsNeighbours) {
  Arena arena(Arena::Backing::none);
  const size_t a = arena.take(1024), b = arena.take(256), c = arena.take(512), d = arena.take(64);
  EXPECT_EQ(arena.in_use(), 1856u);
  arena.give(a, 1024);
  arena.give(c, 512);
  EXPECT_EQ(arena.take(500), c) << "the smallest that fits";
  arena.give(c, 500);
  arena.give(b, 256);
  EXPECT_EQ(arena.take(1792), a) << "three neighbours became one";
  EXPECT_EQ(arena.peak(), 1856u);
  arena.give(d, 64);
  EXPECT_EQ(arena.take(128), d) << "a free block at the end grows";
  EXPECT_EQ(arena.peak(), 1920u);
}

TEST(Arena, EverythingGivenBackIsNothingInUse) {
  Arena arena(Arena::Backing::none);
  const RandomStream random(1, "test", "arena");
  std::vector<std::pair<size_t, size_t>> held;
  for (uint64_t i = 0; i < 5000; ++i) {
    if (held.empty() || random.below(2 * i, 5) < 3) {
      const size_t bytes = random.below(2 * i + 1, 5000);
      held.emplace_back(arena.take(bytes), bytes);
      for (size_t k = 0; k + 1 < held.size(); ++k)
        ASSERT_TRUE(held.back().first + bytes <= held[k].first || held[k].first + held[k].second <= held.back().first) << "overlap";
    } else {
      std::swap(held[random.below(2 * i + 1, held.size())], held.back());
      arena.give(held.back().first, held.back().second);
      held.pop_back();
    }
    ASSERT_LE(arena.in_use(), arena.peak());
  }
  for (const auto& [offset, bytes] : held) arena.give(offset, bytes);
  EXPECT_EQ(arena.in_use(), 0u);
  EXPECT_EQ(arena.take(arena.peak()), 0u) << "one block again";
}

TEST(Arena, ShapesAloneGiveTheSameOffsets) {
  Arena real, none(Arena::Backing::none);
  EXPECT_FALSE(none.real());
  EXPECT_EQ(none.at(0), nullptr);
  EXPECT_EQ(none.resident(), 0u);
  const RandomStream random(2, "test", "arena");
  std::vector<std::pair<size_t, size_t>> held;
  for (uint64_t i = 0; i < 500; ++i) {
    if (held.empty() || random.below(2 * i, 2)) {
      const size_t bytes = random.below(2 * i + 1, 100000);
      const size_t offset = real.take(bytes);
      ASSERT_EQ(none.take(bytes), offset);
      held.emplace_back(offset, bytes);
    } else {
      real.give(held.back().first, held.back().second);
      none.give(held.back().first, held.back().second);
      held.pop_back();
    }
  }
  EXPECT_EQ(real.peak(), none.peak());
}

TEST(Arena, ExhaustionIsAnErrorAndChangesNothing) {
  Arena arena(Arena::Backing::none);
  const size_t a = arena.take(1000);
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 63, size_t{1} << 63, size_t{1} << 46}) EXPECT_ERROR(arena.take(bytes), "memory: tensors need more than");
  arena.give(a, 1000);
  EXPECT_ERROR(arena.take((size_t{1} << 46) + 1), "Hint: use a smaller batch or model");
  EXPECT_EQ(arena.in_use(), 0u);
  EXPECT_EQ(arena.take(1024), a) << "the free block is still there";
}

TEST(Arena, ResidentIsWhatWasTouched) {
  Arena arena;
  const size_t bytes = size_t{8} << 20, offset = arena.take(bytes);
  std::memset(arena.at(offset), 1, bytes / 2);
  EXPECT_GE(arena.resident(), bytes / 2);
  EXPECT_LE(arena.resident(), bytes);
}

TEST(ArenaDeathTest, FreshBlocksHoldNaNOnRequest) {  // asked once a process, so a new one
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  ::setenv("GAMUT_NAN_FILL", "1", 1);
  const auto all_nan = [] {
    Arena arena;
    for (int again = 0; again < 2; ++again) {
      const size_t offset = arena.take(100 * sizeof(float));
      auto* values = reinterpret_cast<float*>(arena.at(offset));
      if (!std::all_of(values, values + 100, [](float x) { return std::isnan(x); })) return false;
      std::fill(values, values + 100, 1.0f);
      arena.give(offset, 100 * sizeof(float));
    }
    return true;
  };
  EXPECT_EXIT(_exit(all_nan() ? 0 : 1), testing::ExitedWithCode(0), "");
  ::unsetenv("GAMUT_NAN_FILL");
}

#if defined(__SANITIZE_ADDRESS__)
TEST(ArenaDeathTest, UseAfterGiveIsSeen) {
  Arena arena;
  const size_t offset = arena.take(64);
  volatile std::byte* p = arena.at(offset);
  arena.give(offset, 64);
  EXPECT_DEATH(*p = std::byte{1}, "use-after-poison");
}
#endif

}  // namespace
}  // namespace gamut
