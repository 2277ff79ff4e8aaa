#include <gtest/gtest.h>

#include "kernels/cpu.h"
#include "kernels/peak.h"

namespace gamut::kernels {
namespace {

// No bars on time here, only that every tier counts work and the counts are of this world.
TEST(Peak, EveryTierMeasuresSomethingPlausible) {
  ThreadPool pool(1);
  for (int t = 0; t <= static_cast<int>(machine_tier()); ++t) {
    const ForcedTier forced(static_cast<Tier>(t));
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const double flops = measure_peak_flops(pool, dtype);
      EXPECT_GT(flops, 1e6) << name_of(static_cast<Tier>(t));
      EXPECT_LT(flops, 1e14) << name_of(static_cast<Tier>(t));
      RecordProperty(std::string(name_of(static_cast<Tier>(t))) + "_" + std::string(gamut::name_of(dtype)) + "_gflops", static_cast<int>(flops / 1e9));
    }
  }
}

TEST(Peak, ReadBandwidthIsPlausible) {
  ThreadPool pool(2);
  const double bandwidth = measure_read_bandwidth(pool);
  EXPECT_GT(bandwidth, 1e7);
  EXPECT_LT(bandwidth, 1e13);
}

}  // namespace
}  // namespace gamut::kernels
