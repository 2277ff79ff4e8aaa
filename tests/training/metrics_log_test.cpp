#include "training/metrics_log.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "temp_folder.h"

namespace gamut {
namespace {

Json line(int64_t step, double loss) { return {{"step", step}, {"loss", loss}}; }

TEST(MetricsLog, AppendsOneLineAtATime) {
  const TempFolder folder;
  MetricsLog log(folder / "metrics.jsonl", 0);
  log.append(line(1, 0.5));
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"loss\":0.5}\n") << "readable while the run goes on";
  log.append(line(2, 0.25));
  log.sync();
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.25}\n");
  EXPECT_THROW(log.append({{"loss", 1}}), std::logic_error);
}

TEST(MetricsLog, AResumedFileEqualsTheUndisturbedOne) {
  const TempFolder folder;
  {
    MetricsLog undisturbed(folder / "a", 0);
    for (int64_t step = 1; step <= 9; ++step) undisturbed.append(line(step, 1.0 / static_cast<double>(step)));
  }
  for (int64_t saved = 0; saved <= 7; ++saved) {
    write_file(folder / "b", read_file(folder / "a"));
    std::filesystem::resize_file(folder / "b", read_file(folder / "a").size() - 30);  // killed within a line
    MetricsLog resumed(folder / "b", saved);
    for (int64_t step = saved + 1; step <= 9; ++step) resumed.append(line(step, 1.0 / static_cast<double>(step)));
    EXPECT_EQ(read_file(folder / "b"), read_file(folder / "a")) << "resumed after step " << saved;
  }
}

TEST(MetricsLog, KeepsSeveralLinesOfTheLastStep) {
  const TempFolder folder;
  const std::string kept = "{\"step\":3,\"loss\":1}\n{\"step\":3,\"bits_per_byte\":2}\n";
  write_file(folder / "m", kept + "{\"step\":4,\"loss\":1}\n{\"step\":2}\n");
  const MetricsLog log(folder / "m", 3);
  EXPECT_EQ(read_file(folder / "m"), kept);
}

TEST(MetricsLog, RefusesAForeignFileAndLeavesItAlone) {
  const TempFolder folder;
  write_file(folder / "m", "{\"step\":1}\nshopping list\n{\"step\":2}\n");
  EXPECT_ERROR(MetricsLog(folder / "m", 5), "m:2");
  EXPECT_EQ(read_file(folder / "m"), "{\"step\":1}\nshopping list\n{\"step\":2}\n");
  for (const char* text : {"3\n", "{}\n", "{\"step\":\"1\"}\n", "{\"step\":1.5}\n", "\n"}) {
    write_file(folder / "m", text);
    EXPECT_ERROR(MetricsLog(folder / "m", 5), "m:1");
  }
}

}  // namespace
}  // namespace gamut
