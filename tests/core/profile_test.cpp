#include "core/profile.h"

#include <gtest/gtest.h>

#include <thread>

namespace gamut {
namespace {

void wait(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

TEST(Profile, ChargesNestedScopesToThemselvesAlone) {
  Profile profile;
  const auto start = std::chrono::steady_clock::now();
  {
    const Profile::Scope whole(&profile, "whole", false);
    wait(2);
    {
      const Profile::Scope inner(&profile, "inner", true);
      wait(20);
    }
    const Profile::Scope again(&profile, "inner", false);
    wait(2);
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto& whole = profile.entries().at("whole");
  const auto& inner = profile.entries().at("inner");
  EXPECT_EQ(whole.calls, 1);
  EXPECT_EQ(inner.calls, 2);
  EXPECT_EQ(whole.backward, 0);
  EXPECT_GE(whole.forward, 0.002);
  EXPECT_GE(inner.backward, 0.020);
  EXPECT_GE(inner.forward, 0.002);
  EXPECT_LE(whole.seconds() + inner.seconds(), took);
  EXPECT_GE(whole.seconds() + inner.seconds(), 0.024);
}

TEST(Profile, WithoutOneNothingHappens) { const Profile::Scope scope(nullptr, "nothing", false); }

}  // namespace
}  // namespace gamut
