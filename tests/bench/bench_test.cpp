#include "bench/bench.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "base/json.h"
#include "bench/measure.h"
#include "modules/registry.h"
#include "temp_folder.h"

namespace gamut {
namespace {

TEST(Bench, TimingKnowsItsOrder) {
  const Timing t = timing_of({5, 1, 3, 2, 4});
  EXPECT_EQ(t.median, 3);
  EXPECT_EQ(t.best, 1);
  EXPECT_EQ(t.worst, 5);
  EXPECT_EQ(t.runs, 5);
  EXPECT_DOUBLE_EQ(t.spread(), 2.0 / 3);
}

TEST(Bench, SaysWhatIsWrong) {
  EXPECT_ERROR(bench_command({"gem"}, true), "did you mean 'gemm'");
  EXPECT_ERROR(bench_command({"train"}, true), "needs a model");
  EXPECT_ERROR(bench_command({"gemm", "n=0"}, true), "'n' must lie between");
  EXPECT_ERROR(bench_command({"norm", "width=3"}, true), "width");
  EXPECT_ERROR(bench_command({"train", "a", "b"}, true), "one argument too many");
}

TEST(Bench, AStepsOperationsAddUpToIt) {
  const TempFolder folder;
  std::ofstream(folder / "config.json") << R"({"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 32, "torch_dtype": "bfloat16", "hidden_act": "silu", "rms_norm_eps": 1e-5})";
  testing::internal::CaptureStdout();
  ASSERT_EQ(bench_command({"train", (folder / "config.json").string(), "tokens=128", "seq=32", "seconds=0"}, true), 0);
  const Json result = Json::parse(testing::internal::GetCapturedStdout());
  for (const char* key : {"tokens_per_s", "gflops", "peak_gflops", "share", "peak_rss_bytes"}) EXPECT_GT(result.at(key).get<double>(), 0) << key;
  double sum = 0;
  for (const auto& [name, op] : result.at("ops").items()) sum += op.at("forward").get<double>() + op.at("backward").get<double>();
  const double step = result.at("step_seconds").at("median");
  EXPECT_NEAR(sum, step, 1e-9 + 1e-6 * step);
  for (const char* name : {"linear", "attention", "ffn", "head", "norm", "optimizer", "clip"}) EXPECT_TRUE(result.at("ops").contains(name)) << name;
}

TEST(Bench, EveryMixerIsMeasuredAtEveryLength) {
  testing::internal::CaptureStdout();
  ASSERT_EQ(bench_command({"mixers", "width=32", "lengths=[8,40]", "tokens=40", "rounds=1"}, true), 0);
  const Json result = Json::parse(testing::internal::GetCapturedStdout());
  std::map<std::string, int> seen;
  for (const Json& row : result.at("lengths")) {
    EXPECT_GT(row.at("cpu_seconds_per_token").at("median").get<double>(), 0);
    ++seen[row.at("mixer").get<std::string>()];
  }
  for (const auto& row : sequence_mixers())
    EXPECT_EQ(seen[row.kind], row.kind == "none" ? 0 : 2) << row.kind;
  EXPECT_ERROR(bench_command({"mixers", "mixers=[\"mambo\"]"}, true), "did you mean 'mamba'");
  EXPECT_ERROR(bench_command({"mixers", "lengths=[0]"}, true), "lengths");
}

}  // namespace
}  // namespace gamut
