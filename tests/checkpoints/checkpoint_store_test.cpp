#include "checkpoints/checkpoint_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/log.h"
#include "temp_folder.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

class Store : public testing::Test {
 protected:
  TempFolder run_;
  std::vector<float> weights_ = std::vector<float>(1000);
  void SetUp() override { log::set_level(log::Level::error); }
  void TearDown() override { log::set_level(log::Level::info); }

  void save(CheckpointStore& store, int64_t step) {
    std::fill(weights_.begin(), weights_.end(), static_cast<float>(step));
    store.save(step, std::vector<TensorView>{{.name = "w", .dtype = DType::f32, .shape = {1000}, .bytes = std::as_bytes(std::span(weights_))}},
               {{"cursor", step * 10}, {"note", "中文"}});
  }
  void expect_intact(const Checkpoint& checkpoint, int64_t step) {
    EXPECT_EQ(checkpoint.step, step);
    EXPECT_EQ(checkpoint.state["cursor"], step * 10);
    float last = 0;
    std::memcpy(&last, checkpoint.tensors.at("w").bytes.data() + 999 * 4, 4);
    EXPECT_EQ(last, static_cast<float>(step));
  }
  std::vector<std::string> entries() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(run_ / "checkpoints")) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(Store, SavesLoadsAndKeepsTheNewest) {
  CheckpointStore store(run_.path(), 2);
  EXPECT_FALSE(store.latest_valid().has_value());
  for (const int64_t step : {1, 5, 10}) save(store, step);
  EXPECT_EQ(store.steps(), (std::vector<int64_t>{5, 10}));
  expect_intact(*store.latest_valid(), 10);
  expect_intact(open_checkpoint(store.folder_of(5)), 5);
  EXPECT_EQ(entries(), (std::vector<std::string>{".lock", "step-10", "step-5"})) << "nothing else remains";
}

TEST_F(Store, ReplacesACheckpointOfTheSameStep) {
  CheckpointStore store(run_.path(), 3);
  save(store, 4);
  save(store, 4);
  expect_intact(*store.latest_valid(), 4);
  EXPECT_EQ(entries(), (std::vector<std::string>{".lock", "step-4"}));
}

TEST_F(Store, GoingBackDropsTheLaterHistory) {
  CheckpointStore store(run_.path(), 2);
  for (const int64_t step : {1, 2}) save(store, step);
  save(store, 1);
  EXPECT_EQ(store.steps(), (std::vector<int64_t>{1}));
}

TEST_F(Store, ADamagedNewestIsPassedOverAndNamedWhenAskedFor) {
  struct Damage {
    const char* message;
    std::function<void(const fs::path&)> harm;
  };
  const std::vector<Damage> damages{
      {"truncated: expected 4128 bytes, found 4127", [](const fs::path& f) { fs::resize_file(f / "tensors.safetensors", 4127); }},
      {"corrupt: expected 4128 bytes, found 4129", [](const fs::path& f) { fs::resize_file(f / "tensors.safetensors", 4129); }},
      {"corrupt: expected 4128 bytes with checksum",
       [](const fs::path& f) {
         std::string text = read_file(f / "tensors.safetensors");
         text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
         write_file(f / "tensors.safetensors", text);
       }},
      {"truncated: expected", [](const fs::path& f) { fs::resize_file(f / "state.json", 0); }},
      {"the file is missing, expected", [](const fs::path& f) { fs::remove(f / "state.json"); }},
      {"the manifest is missing", [](const fs::path& f) { fs::remove(f / "manifest.json"); }},
      {"not valid JSON", [](const fs::path& f) { fs::resize_file(f / "manifest.json", 30); }},
      {"'files.state.json.bytes' is missing", [](const fs::path& f) { write_file(f / "manifest.json", R"({"format":1,"step":9,"files":{"state.json":{}}})"); }},
      {"this version reads 1", [](const fs::path& f) { write_file(f / "manifest.json", R"({"format":2})"); }}};
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.message);
    CheckpointStore store(run_.path(), 2);
    save(store, 8);
    save(store, 9);
    damage.harm(store.folder_of(9));
    EXPECT_ERROR(open_checkpoint(store.folder_of(9)), damage.message);
    EXPECT_ERROR(open_checkpoint(store.folder_of(9)), "step-9");
    expect_intact(*store.latest_valid(), 8);
    damage.harm(store.folder_of(8));
    EXPECT_ERROR(store.latest_valid(), damage.message);
  }
  EXPECT_ERROR(open_checkpoint(run_ / "absent"), "no such folder");
}

TEST_F(Store, SavingAfterADamagedNewestNeverLeavesLessThanOneIntact) {
  CheckpointStore store(run_.path(), 1);
  save(store, 9);
  fs::resize_file(store.folder_of(9) / "state.json", 0);
  save(store, 5);
  expect_intact(*store.latest_valid(), 5);
}

TEST_F(Store, LeftoversOfKilledWritesAreRemovedAtStart) {
  {
    CheckpointStore store(run_.path());
    save(store, 3);
  }
  fs::create_directories(run_ / "checkpoints/.step-4.partial");
  write_file(run_ / "checkpoints/.step-4.partial/tensors.safetensors", "half");
  fs::create_directories(run_ / "checkpoints/.step-2.gone");
  fs::create_directories(run_ / "checkpoints/mine");  // not ours: stays
  const CheckpointStore store(run_.path());
  EXPECT_EQ(entries(), (std::vector<std::string>{".lock", "mine", "step-3"}));
  expect_intact(*store.latest_valid(), 3);
}

TEST_F(Store, OneProcessWritesARun) {
  const CheckpointStore first(run_.path());
  EXPECT_ERROR(CheckpointStore(run_.path()), "another process is writing this run");
}

TEST_F(Store, AFailedWriteLeavesThePreviousIntact) {
  CheckpointStore store(run_.path(), 1);
  save(store, 3);
  // A limit on file size fails in the middle of a write as a full disk does.
  struct sigaction ignore {}, before {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &ignore, &before);
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  const rlimit small{.rlim_cur = 2000, .rlim_max = unlimited.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_ERROR(save(store, 4), "cannot write: File too large");
  setrlimit(RLIMIT_FSIZE, &unlimited);
  sigaction(SIGXFSZ, &before, nullptr);
  EXPECT_EQ(entries(), (std::vector<std::string>{".lock", "step-3"}));
  expect_intact(*store.latest_valid(), 3);
}

TEST_F(Store, KillAtAnyMomentLeavesANewestIntactCheckpoint) {
  int64_t furthest = 0;
  for (int round = 0; round < 12; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      CheckpointStore store(run_.path(), 1);
      const auto last = store.latest_valid();
      for (int64_t step = last ? last->step : 0;; ++step) {
        save(store, step + (step % 3 == 0 ? 0 : 1));  // at times the same step again
        if (::write(ready[1], "x", 1) != 1) _exit(1);
      }
    }
    char byte;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    usleep(static_cast<useconds_t>(1000 + 977 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    const CheckpointStore store(run_.path(), 1);
    const auto found = store.latest_valid();
    ASSERT_TRUE(found.has_value());
    expect_intact(*found, found->step);
    EXPECT_GE(found->step, furthest);
    furthest = found->step;
    for (const std::string& name : entries()) EXPECT_TRUE(name == ".lock" || name.starts_with("step-")) << name;
  }
}

}  // namespace
}  // namespace gamut
