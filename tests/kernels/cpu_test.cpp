#include "kernels/cpu.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "kernels/candidates.h"

namespace gamut::kernels {
namespace {

TEST(Cpu, NamesRoundTrip) {
  for (int t = 0; t <= static_cast<int>(Tier::amx); ++t) EXPECT_EQ(tier_named(name_of(static_cast<Tier>(t))), static_cast<Tier>(t));
}

TEST(Cpu, SettingSelectsATier) {
  EXPECT_EQ(tier_from_setting(nullptr), machine_tier());
  EXPECT_EQ(tier_from_setting(""), machine_tier());
  EXPECT_EQ(tier_from_setting("ref"), Tier::ref);
  EXPECT_EQ(tier_from_setting("portable"), Tier::portable);
}

TEST(Cpu, UnknownSettingIsOneClearLine) {
  try {
    tier_from_setting("avx1024");
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find("avx1024"), std::string::npos) << line;
    EXPECT_NE(line.find("GAMUT_ISA"), std::string::npos) << line;
    EXPECT_NE(line.find("avx512_bf16"), std::string::npos) << line;
  }
}

TEST(Cpu, MoreThanTheMachineHasIsAnErrorWithTheReason) {
  if (machine_tier() == Tier::amx) GTEST_SKIP() << "this machine has every tier";
  try {
    tier_from_setting("amx");
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find("cannot run here: "), std::string::npos) << line;
    EXPECT_NE(line.find(std::string(name_of(machine_tier()))), std::string::npos) << line;
  }
}

TEST(Cpu, ReasonNamesTheNextTier) {
  const ForcedTier forced(Tier::portable);
  if (machine_tier() > Tier::portable) {
    EXPECT_EQ(tier_reason(), "avx2: GAMUT_ISA=portable");
  } else {
    EXPECT_TRUE(tier_reason().starts_with("avx2: ")) << tier_reason();
  }
}

TEST(Cpu, SaysItsModel) { EXPECT_FALSE(cpu_model().empty()); }

TEST(Candidates, FirstThatRunsIsBest) {
  const Candidates<int> list{{"amx", Tier::amx, 5}, {"avx2", Tier::avx2, 2}, {"portable", Tier::portable, 1}, {"ref", Tier::ref, 0}};
  {
    const ForcedTier forced(Tier::ref);
    EXPECT_EQ(list.best().fn, 0);
    EXPECT_EQ(list.runnable_here().size(), 1u);
  }
  {
    const ForcedTier forced(Tier::portable);
    EXPECT_STREQ(list.best().name, "portable");
    EXPECT_EQ(list.runnable_here().size(), 2u);
    EXPECT_EQ(list.runnable_here().back().fn, 0);
  }
}

}  // namespace
}  // namespace gamut::kernels
